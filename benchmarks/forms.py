"""What `bench.py` times: each form is built and run in a process of its own.

    python benchmarks/forms.py FORM

Prints a JSON object: CPU and wall seconds of a call, page faults of a call, peak memory of the process, and how much
of it came with the calls, without the labels that they return.
"""

from __future__ import annotations

import argparse
import atexit
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

Call = Callable[[], object]

_ENOUGH = 1.0  # CPU seconds after which a form is not called again
_MOST = 20  # calls
_LONG = 5.0  # CPU seconds; a call that takes more needs none before it to warm up
_BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


def without_gradients(function: Callable[..., object], *inputs: object) -> Call:
    return torch.inference_mode()(lambda: function(*inputs))


def litenext(size: int, form: str) -> Call:
    from napari_medseg import models

    network = models.build("litenext").eval()
    return without_gradients(getattr(network, form), torch.rand(1, 3, size, size))


def lstm_sa(width: int, way: str) -> Call:
    import lstm_sa_volume

    from napari_medseg import models

    network = models.build("lstm-sa", num_classes=4, width=width).eval()
    return without_gradients(getattr(lstm_sa_volume, way), network, torch.rand(3, 3, 224, 224))


def swin(name: str) -> Call:
    from napari_medseg import models

    return without_gradients(models.build(name, levels=1).eval(), torch.rand(1, 3, 256, 256))


def in_job(make: Callable[[], Call]) -> Call:
    """The form as a job of the package runs it: memory that tensors give back is kept for the next ones."""
    from napari_medseg.models.allocator import kept

    memory = kept()
    memory.__enter__()
    atexit.register(memory.__exit__, None, None, None)
    return make()


def in_bfloat16(make: Callable[[], Call]) -> Call:
    """The form as a job runs it, matrix products and convolutions in bfloat16."""
    call = in_job(make)

    def in_half() -> object:
        with torch.autocast("cpu", torch.bfloat16):
            return call()

    return in_half


def next_to_busy(make: Callable[[], Call]) -> Call:
    """The form while another process, which ends with this one, keeps a core busy."""
    busy = subprocess.Popen([sys.executable, "-c", _BUSY])
    atexit.register(busy.kill)
    return make()


def scan(coils: int, size: int, lines: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measured samples (coil, y, x) of discs, their mask and the true sensitivities."""
    from napari_medseg.recon import fft2c, sampling_mask

    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    image = 1.0 * (np.hypot(x, y) < 0.8) - 0.5 * (np.hypot(x - 0.2, y) < 0.3)
    turns = np.linspace(0, 2 * np.pi, coils, endpoint=False)[:, None, None]
    maps = np.exp(-(np.square(x - np.cos(turns)) + np.square(y - np.sin(turns))) / 1.5 + 1j * turns)
    maps = (maps / np.linalg.norm(maps, axis=0)).astype(np.complex64)
    mask = sampling_mask("random", size, 4, 0.08, seed=1)
    if not lines:
        mask = np.random.default_rng(0).random((size, size)) < 0.2
        middle = slice(size // 2 - 12, size // 2 + 12)
        mask[middle, middle] = True
    return np.where(mask, fft2c(image * maps), 0).astype(np.complex64), mask, maps


def sense_tv(lines: bool) -> Call:
    from napari_medseg.recon.sense import sense_tv

    return partial(sense_tv, *scan(8, 256, lines))


def bart_tv(lines: bool) -> Call:
    """The same minimisation by BART, which starts for each slice."""
    measured, _, maps = scan(8, 256, lines)
    folder = Path(tempfile.mkdtemp())
    for name, data in (("kspace", measured), ("maps", maps)):
        np.asfortranarray(data.transpose(1, 2, 0)[:, :, None]).T.tofile(folder / f"{name}.cfl")
        (folder / f"{name}.hdr").write_text("# Dimensions\n{} {} 1 {}\n".format(*data.shape[1:], data.shape[0]))
    command = ["bart", "pics", "-S", "-i", "40", "-R", "T:3:0:0.003", "kspace", "maps", "out"]
    return partial(subprocess.run, command, cwd=folder, check=True, capture_output=True)


def nuclei(split: bool) -> Call:
    """A picture of 512 x 512 with touching discs, its nuclei found and numbered."""
    from napari_medseg import models
    from napari_medseg.progress import run
    from napari_medseg.segmentation.inference import InferenceSettings, segment_job
    from napari_medseg.volume import Volume

    draw = np.random.default_rng(0)
    y, x = np.mgrid[:512, :512]
    picture = np.full((512, 512), 20.0)
    for centre in draw.uniform(0, 512, (150, 2)):
        picture[np.hypot(y - centre[0], x - centre[1]) < draw.uniform(8, 14)] = 180
    volume = Volume(draw.normal(picture, 8).clip(0, 255).astype(np.uint8), "yx")
    model = models.load(models.find("litenext-nuclei"))
    settings = InferenceSettings(split_objects=split)
    return lambda: run(segment_job(volume, model, settings))


def volume(slices: int) -> Call:
    """A stack of 512 x 512 through `segment`, every slice at full size."""
    from napari_medseg import models
    from napari_medseg.preprocess import Preprocess
    from napari_medseg.progress import run
    from napari_medseg.segmentation.inference import InferenceSettings, segment_job
    from napari_medseg.volume import LabelClass, Volume

    data = np.random.default_rng(0).integers(0, 255, (slices, 512, 512), np.uint8)
    card = models.ModelCard("benchmark", "litenext", Preprocess(), (LabelClass(1, "noise", "#e64b35"),))
    model = models.TrainedModel(card, models.build("litenext").eval())
    return lambda: run(segment_job(Volume(data, "zyx"), model, InferenceSettings()))


_LITENEXT = {f"litenext-{size}": partial(litenext, size, "forward") for size in (256, 512)}
_LSTM_SA = {f"lstm-sa-{width}": partial(lstm_sa, width, "cached") for width in (64, 16)}
_SWIN = {"conditional-swin-light": partial(swin, "conditional-swin-light")}

FORMS: dict[str, Callable[[], Call]] = {
    **{f"litenext-{size}-published": partial(litenext, size, "forward_as_published") for size in (256, 512)},
    **_LITENEXT,
    **{f"{name}-job": partial(in_job, make) for name, make in _LITENEXT.items()},
    **{f"lstm-sa-{width}-published": partial(lstm_sa, width, "plain") for width in (64, 16)},
    **{name: partial(in_job, make) for name, make in _LSTM_SA.items()},
    **{f"{name}-bfloat16": partial(in_bfloat16, make) for name, make in _LSTM_SA.items()},
    "swin-unet": partial(swin, "swin-unet"),
    **{name: partial(in_job, make) for name, make in _SWIN.items()},
    **{f"{name}-bfloat16": partial(in_bfloat16, make) for name, make in _SWIN.items()},
    "sense-tv-lines": partial(sense_tv, True),
    "sense-tv-points": partial(sense_tv, False),
    "bart-tv-lines": partial(bart_tv, True),
    "bart-tv-points": partial(bart_tv, False),
    "nuclei": partial(nuclei, False),
    "nuclei-split": partial(nuclei, True),
    "volume-160": partial(volume, 160),
    "volume-16": partial(volume, 16),
    "volume-16-busy": partial(next_to_busy, partial(volume, 16)),
}


def used() -> tuple[float, int]:
    """CPU seconds and page faults of this process and of those that it has waited for."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both), sum(one.ru_minflt for one in both)


def memory(key: str) -> float:
    """MiB of this process: ``VmRSS`` now, ``VmHWM`` at most since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(f"{key}:"))
    return int(line.split()[1]) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def repeated(call: Call, most: int) -> dict[str, float]:
    """What a call takes, the mean over at most `most` calls and about a second."""
    cpu, faults = used()
    began = time.perf_counter()
    count = 0
    while count < most and used()[0] - cpu < _ENOUGH:
        result = call()
        count += 1
    wall = time.perf_counter() - began
    cpu_then, faults_then = used()
    labels = getattr(result, "labels", None)
    return {
        "cpu_s": (cpu_then - cpu) / count,
        "wall_s": wall / count,
        "faults": (faults_then - faults) / count,
        "labels_mib": labels.data.nbytes / 2**20 if labels else 0,
    }


def measure(call: Call) -> dict[str, float]:
    """Figures of a call, after one that warms up where that is worth its time."""
    peak_before = memory("VmHWM")
    forget_peak()
    start = memory("VmRSS")
    found = repeated(call, 1)
    if found["cpu_s"] < _LONG:
        found = repeated(call, _MOST)
    peak = memory("VmHWM")
    extra = peak - start - found.pop("labels_mib")
    return {**found, "peak_mib": max(peak, peak_before), "extra_mib": extra}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("form", choices=FORMS)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    json.dump(measure(FORMS[given.form]()), sys.stdout)


if __name__ == "__main__":
    main()
