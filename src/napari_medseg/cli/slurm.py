"""A SLURM script that runs a command on the nodes of a job: a scheduler and workers of dask, and the command itself."""

from __future__ import annotations

from collections.abc import Sequence

from .. import options
from ..version import __version__

_SLOTS = 4
_LEFT_OUT = ("--workers", "--scheduler")  # with their values
_SCRIPT = """\
#!/bin/bash
# Look at the lines that begin with #SBATCH, and at 'slots'; then submit this file with sbatch, from the folder in which
# the paths below are right. All nodes must see it. Written by napari-medseg {version}.
#SBATCH --job-name=napari-medseg
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --output=napari-medseg-%j.log
set -eu

# files at a time on each node; they share its cores and its memory
slots={slots}
# here: module load, or . venv/bin/activate, so that 'dask' and 'napari-medseg' are found

address=$PWD/.napari-medseg-$SLURM_JOB_ID.json
# only on the name of this node: whoever reaches the port runs code as you
dask scheduler --host "$(hostname)" --port 0 --scheduler-file "$address" --no-dashboard &
scheduler=$!
until [ -s "$address" ]; do
    kill -0 "$scheduler"
    sleep 1
done
srun --overlap dask worker --scheduler-file "$address" --nworkers 1 --nthreads "$slots" --memory-limit 0 \\
    --no-dashboard &

{command} --scheduler "$address" &
run=$!
# two minutes before the time ends: the run stops with its report, and the same script goes on later
trap 'kill -TERM "$run"' TERM
code=0
wait "$run" || code=$?
while kill -0 "$run" 2>/dev/null; do
    code=0
    wait "$run" || code=$?
done
kill "$scheduler" || true
rm -f "$address"
exit "$code"
"""


def script(words: Sequence[str], workers: int) -> str:
    """The script.

    Parameters
    ----------
    words : sequence of str
        Of the command, as they were typed.
    workers : int
        Files at a time on each node; 0 for the usual number.
    """
    kept: list[str] = []
    rest = iter(word for word in words if word != "--print-slurm")
    for word in rest:
        if word in _LEFT_OUT:
            next(rest, None)
        elif not word.startswith(tuple(f"{name}=" for name in _LEFT_OUT)):
            kept.append(word)
    if "--resume" not in kept:
        kept.append("--resume")
    command = options.join(["napari-medseg", *kept])
    return _SCRIPT.format(version=__version__, slots=workers or _SLOTS, command=command)
