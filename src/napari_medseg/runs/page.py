"""One HTML page of a cohort that needs nothing else: what was done, what is unusual, and a picture of every case."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from .. import options
from ..quantities import rounded
from ..version import __version__
from . import drawing, suspicion
from .cases import MEASURES, Case, heading, values
from .summary import write_text
from .suspicion import Reason

MOST_PICTURES = 500
"""Cases with a picture; of a larger cohort those that should be looked at first."""

_STYLE = """
:root { color-scheme: light dark; --dot: #3b6ea5; --marked: #c0392b; --why: #a32218; --quiet: #5b6370;
  --edge: #d5d9e0; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1240px; padding: 16px 24px; color: #1d2129;
  background: #fff; }
h1 { font-size: 24px; margin: 8px 0; } h2 { font-size: 19px; margin: 30px 0 8px; border-bottom: 1px solid var(--edge); }
h3 { font-size: 16px; margin: 0 0 4px; overflow-wrap: anywhere; }
p { max-width: 900px; margin: 6px 0; } table { border-collapse: collapse; margin: 6px 0; }
th, td { padding: 2px 16px 2px 0; text-align: left; vertical-align: top; } th { color: var(--quiet); font-weight: 600; }
th.n, td.n { text-align: right; } td.n, .figures td:first-child { white-space: nowrap; }
.figures { overflow-x: auto; } .figures th { vertical-align: bottom; } .failed td { overflow-wrap: anywhere; }
.failed td:first-child { min-width: 230px; max-width: 45vw; }
.case { border: 1px solid var(--edge); border-radius: 6px; padding: 12px 14px; margin: 12px 0; }
.case img { display: block; background: #000; max-width: 100%; margin: 8px 0; }
.case.look { border-left: 5px solid var(--marked); } .case:target { outline: 2px solid var(--dot); }
.why { margin: 4px 0 6px; padding-left: 18px; color: var(--why); }
.quiet, .case small { color: var(--quiet); } code { font-size: 13px; user-select: all; overflow-wrap: anywhere; }
.bad { color: var(--why); font-weight: 600; } a { overflow-wrap: anywhere; }
.strip { display: grid; grid-template-columns: minmax(200px, 32%) 1fr; gap: 0 20px; padding-right: 8px; }
.strip span { line-height: 19px; padding-top: 8px; }
svg { display: block; overflow: visible; } svg text { font: 13px sans-serif; }
.tag { display: inline-block; padding: 0 7px; border-radius: 9px; background: #e8ebf0; color: #39414d;
  font-size: 13px; margin-left: 6px; font-weight: 400; }
@media (max-width: 800px) { .strip { grid-template-columns: 1fr; padding: 0 8px; } .strip span { padding-top: 2px; }
  th, td { padding-right: 10px; } }
@media (prefers-color-scheme: dark) {
  :root { --dot: #6ea8e0; --marked: #ff7468; --why: #ff8f85; --quiet: #a5adb9; --edge: #444b55; }
  body { background: #1b1e23; color: #e3e6eb; } .tag { background: #343b45; color: #dde1e7; } a { color: #8ab8ff; }
}
@media print { .case { break-inside: avoid; } }
"""
_FIRST = (
    "Cases that differ most from the others come first, with the reasons in words. This is an order for looking, not a "
    "measure of quality: a case without a reason can be wrong, and one with many can be right."
)
_STATES = {
    "done": "done",
    "skipped": "finished before",
    "kept": "kept, because a person changed them",
    "failed": "failed",
    "not reached": "not reached",
}
_NOTHING = ("failed", "not reached")
_PATIENTS = (
    "This page contains pictures of patients and the names of their files. Share it as you would share the scans."
)


def write_page(path: Path, cases: Sequence[Case], title: str, interrupted: bool = False) -> None:
    """Write the page of a cohort.

    Parameters
    ----------
    path : pathlib.Path
        Links on the page start in its folder.
    cases : sequence of Case
    title : str
    interrupted : bool
        Whether the run ended before its end.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    write_text(path, html(cases, title, path.absolute().parent, interrupted))


def html(cases: Sequence[Case], title: str, folder: Path, interrupted: bool = False) -> str:
    """The text of the page; see `write_page`.

    Parameters
    ----------
    folder : pathlib.Path
        Where links start.
    """
    failed = [case for case in cases if case.outcome.state in _NOTHING]
    there = [case for case in cases if case not in failed]
    why = suspicion.reasons(there)
    order = sorted(range(len(there)), key=lambda number: -suspicion.weight(why[number]))
    anchors = {case.name: f"case-{number}" for number, case in enumerate(there)}
    flagged = {case.name for case, found in zip(there, why, strict=True) if found}
    cards = []
    for place, number in enumerate(order):
        case = there[number]
        cards.append(_card(case, why[number], anchors[case.name], folder, place < MOST_PICTURES))
    parts = [
        f"<h1>{escape(title)}</h1>",
        _overview(cases, len(flagged), interrupted),
        _failures(failed),
        _distributions(there, anchors, flagged),
        "<h2>Cases</h2>",
        f"<p>{_FIRST}</p>{_few(there)}",
        *cards,
        _made(there),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _overview(cases: Sequence[Case], flagged: int, interrupted: bool) -> str:
    states = Counter(case.outcome.state for case in cases)
    lines = [("cases", str(len(cases)))]
    lines += [(text, str(states[state])) for state, text in _STATES.items() if states[state]]
    lines.append(("to look at first", str(flagged)))
    used = Counter(
        ", ".join(model.name for model in case.outcome.record.models) for case in cases if case.outcome.record
    )
    lines += [("model", name) for name in used if name]
    seconds = [case.outcome.seconds for case in cases if case.outcome.state == "done"]
    if seconds:
        lines.append(("time per case", f"{rounded(sorted(seconds)[len(seconds) // 2], 1)} s (median)"))
    peak = max((case.outcome.peak_mb for case in cases), default=0)
    if peak:
        lines.append(("most memory", f"{peak} MB"))
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in lines)
    text = f"<p>{_PATIENTS}</p><table>{rows}</table>"
    if interrupted:
        text += '<p class="bad">The run ended early. The same command with --resume goes on.</p>'
    there = [case for case in cases if case.outcome.state not in _NOTHING]
    for warning, count in suspicion.common_warnings(there):
        text += f"<p>{escape(warning)} ({_count(count)})</p>"
    return text


def _failures(failed: Sequence[Case]) -> str:
    if not failed:
        return ""
    rows = []
    for case in failed:
        error = case.outcome.error or "not reached"
        rows.append(f'<tr><td>{escape(case.outcome.task.inputs[0])}</td><td class="bad">{escape(error)}</td></tr>')
    head = "<tr><th>input</th><th>reason</th></tr>"
    return f'<h2>Failed or not reached</h2><table class="failed">{head}{"".join(rows)}</table>'


def _distributions(cases: Sequence[Case], anchors: Mapping[str, str], flagged: set[str]) -> str:
    rows = []
    for (key, name), known in values(cases).items():
        measure = MEASURES[key]
        if len(known) < 3 or len({value for _, value in known}) == 1:
            continue
        dots = [
            drawing.Dot(
                value, f"{case.name}: {rounded(value, measure.decimals)}", anchors[case.name], case.name in flagged
            )
            for case, value in known
        ]
        title = f"{name}: {heading(key)}" if name else heading(key)
        rows.append(drawing.strip(title, dots, measure.decimals))
    if not rows:
        return ""
    text = "A dot is a case, the line its median; red dots have a reason below. A click leads to the case."
    return f"<h2>Distributions</h2>{_quiet(text)}{''.join(rows)}"


def _few(cases: Sequence[Case]) -> str:
    if len(cases) >= suspicion.FEW:
        return ""
    return _quiet(f"With fewer than {suspicion.FEW} cases none is compared with the others.")


def _card(case: Case, why: Sequence[Reason], anchor: str, folder: Path, pictured: bool) -> str:
    outcome = case.outcome
    state = outcome.note or _STATES[outcome.state]
    tag = "" if state == "done" else f'<span class="tag">{escape(state)}</span>'
    parts = [f"<h3>{escape(case.name)}{tag}</h3>"]
    if why:
        parts.append('<ul class="why">' + "".join(f"<li>{escape(reason.text)}</li>" for reason in why) + "</ul>")
    if pictured and outcome.look is not None and outcome.look.picture:
        source = f"data:image/jpeg;base64,{outcome.look.picture}"
        parts.append(f'<img loading="lazy" alt="Slices of {escape(case.name)}" src="{source}">')
    parts += [_figures(case), _files(case, folder)]
    looked_at = " look" if why else ""
    return f'<div class="case{looked_at}" id="{anchor}">{"".join(parts)}</div>'


def _figures(case: Case) -> str:
    known = dict.fromkeys(key for row in case.rows for key in row.figures)
    # in one order on the whole page, whatever a case lacks
    keys = [key for key in MEASURES if key in known] + [key for key in known if key not in MEASURES]
    if {"volume_ml", "area_mm2"} & set(keys):
        keys.remove("voxels")
    if not keys:
        return ""
    colours = {row.id: row.colour for row in case.outcome.look.classes} if case.outcome.look else {}
    head = "".join(f'<th class="n">{escape(heading(key))}</th>' for key in keys)
    lines = []
    for row in case.rows:
        cells = "".join(f'<td class="n">{_text(key, row.figures.get(key))}</td>' for key in keys)
        colour = colours.get(row.id, "")
        mark = f'<span style="color:{escape(colour)}">&#9632;</span> ' if colour else ""
        lines.append(f"<tr><td>{mark}{escape(row.name)}</td>{cells}</tr>")
    return f'<div class="figures"><table><tr><th></th>{head}</tr>{"".join(lines)}</table></div>'


def _text(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    if key == "touches_border":
        return "yes" if value else "no"
    decimals = MEASURES[key].decimals if key in MEASURES else 2
    return rounded(value, decimals)


def _files(case: Case, folder: Path) -> str:
    """Links to the files of a case, and the command that opens them."""
    outcome = case.outcome
    paths = list(dict.fromkeys([*outcome.task.inputs, *outcome.task.outputs.values()]))
    known = [_from(folder, path) for path in paths if Path(path).exists()]
    links = ", ".join(f'<a href="{quote(path)}">{escape(path)}</a>' for path in known)
    opened = options.join(["napari", "--plugin", "napari-medseg", *map(options.operand, known)])
    seconds = f"{rounded(outcome.seconds, 1)} s" if outcome.seconds else ""
    memory = f"{outcome.peak_mb} MB" if outcome.peak_mb else ""
    facts = ", ".join(filter(None, [seconds, memory]))
    return f"<p><small>{links}{' &middot; ' + escape(facts) if facts else ''}<br>Open in napari: </small>" + (
        f"<code>{escape(opened)}</code></p>"
    )


def _from(folder: Path, path: str) -> str:
    """A path from the folder of the page, where the system has one, with slashes."""
    try:
        return Path(os.path.relpath(Path(path).absolute(), folder)).as_posix()
    except ValueError:  # on another drive
        return Path(path).absolute().as_posix()


def _made(cases: Iterable[Case]) -> str:
    """How the results were made, for a paper."""
    ways = Counter(_way(case) for case in cases if case.outcome.record)
    lines = [f"<p>{escape(text)} ({_count(count)})</p>" for text, count in ways.most_common(5)]
    if len(ways) > 5:
        lines.append(_quiet(f"{len(ways) - 5} further ways are left out."))
    written = f"Written by napari-medseg {__version__} on {time.strftime('%Y-%m-%d')}; for research only."
    text = "The commands above start in the folder of this page; a click selects one. A link opens or saves the file."
    return f"<h2>How this was made</h2>{''.join(lines)}{_quiet(f'{text} {escape(written)}')}"


def _quiet(text: str) -> str:
    return f'<p class="quiet">{text}</p>'


def _count(number: int) -> str:
    return "1 case" if number == 1 else f"{number} cases"


def _way(case: Case) -> str:
    record = case.outcome.record
    if record is None:
        return ""
    models = ", ".join(f"{model.name} (SHA-256 {model.sha256[:12]})" for model in record.models)
    by = f" with {models}" if models else ""
    settings = ", ".join(f"{key} {value}" for key, value in record.deciding().items() if value not in (None, "", {}))
    place = f" on {record.place['device']}" if "device" in record.place else ""
    return f"{record.what}{by}, napari-medseg {record.version}{place}; settings: {settings}."
