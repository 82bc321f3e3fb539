"""Correcting labels: every change is written down as it happens, and who has looked at what is known slice by slice.

- `planes.py`: any label array as a list of slices (y, x);
- `deltas.py`: how a slice differs from what it was;
- `shadow.py`: the last state that was written down, in little memory;
- `log.py`: a file that only grows, and of which every beginning can be read;
- `sessions.py`: the folders in which all this lies, and who holds them;
- `history.py`: the steps that a log tells of;
- `journal.py`: steps, undo and redo; `opening.py`: how one begins;
- `recovery.py`: what is left after a crash;
- `ledger.py`: unseen, auto, edited, approved;
- `tools/`: what corrects labels, such as filling holes and interpolating between slices;
- `measure.py`: what labels measure: `regions.py` one class or object, `cine.py` over the heart cycle, `run_figures.py`
  what a run said of them, `measure_table.py` all of it as a table;
- `order.py`: where to look first; `pace.py`: how long the rest will take.

Nothing here knows a window or a network.
"""
