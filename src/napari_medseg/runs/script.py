"""Runs as Python text that does the same: what *Copy as Python* of the docks puts on the clipboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..recon.settings import FinishSettings, ReconSettings, Sampling
from ..segmentation.settings import InferenceSettings
from .outputs import beside
from .settings import StudySettings


def segment(
    settings: InferenceSettings, models: Sequence[str], source: Path, output: Path, axes: str | None = None
) -> str:
    """Segment a file; the parameters are those of `cohort.command`."""
    chosen = models[0] if len(models) == 1 else list(models)
    lines = [
        "import napari_medseg",
        "",
        f"volume = {_call('napari_medseg.read', str(source), axes=axes)}",
        f"result = {_call('napari_medseg.segment', _Name('volume'), model=chosen, **changed(settings))}",
        f"{_call('napari_medseg.write', _Name('result.labels'), str(output))}",
    ]
    if settings.uncertainty and len(models) == 1:
        lines.append(_call("napari_medseg.write", _Name("result.uncertainty"), str(beside(output, "uncertainty"))))
    if len(models) > 1:
        lines.append(_call("napari_medseg.write", _Name("result.disagreement"), str(beside(output, "disagreement"))))
    return _text(lines)


def reconstruct(
    settings: ReconSettings,
    source: Path,
    output: Path,
    *,
    finish: FinishSettings | None = None,
    sampling: Sampling | None = None,
    mask_file: Path | None = None,
    reading: Mapping[str, Any] | None = None,
    simulated: bool = False,
) -> str:
    """Reconstruct a file of raw data, or of an image whose measurement is simulated.

    Parameters
    ----------
    settings : ReconSettings
    source, output : pathlib.Path
    finish : FinishSettings, optional
    sampling : Sampling, optional
        Rules for the mask.
    mask_file : pathlib.Path, optional
        In place of rules.
    reading : mapping, optional
        Keywords of `read_kspace`; what is empty is left out.
    simulated : bool
    """
    imports = ["import napari_medseg"]
    how = {name: value for name, value in (reading or {}).items() if value}
    if simulated:
        imports.append("from napari_medseg.recon.simulate import scan")
        data = f"scan({_call('napari_medseg.read', str(source))})"
    else:
        data = _call("napari_medseg.read_kspace", str(source), **how)
    more: dict[str, Any] = {}
    if sampling is not None:
        imports.append("from napari_medseg.recon.settings import Sampling")
        more["sampling"] = _Name(_call("Sampling", **changed(sampling)))
    if mask_file is not None:
        imports += ["from pathlib import Path", "from napari_medseg.recon.sampling import load_mask"]
        more["mask"] = _Name(f"load_mask(Path({str(mask_file)!r}))")
    if finish:
        imports.append("from napari_medseg.recon.settings import FinishSettings")
        more["finished"] = _Name(_call("FinishSettings", **changed(finish)))
    call = _call("napari_medseg.reconstruct", _Name("kspace"), **changed(settings), **more)
    write = _call("napari_medseg.write", _Name("result.image"), str(output))
    return _text([*_sorted(imports), "", f"kspace = {data}", f"result = {call}", write])


def study(settings: StudySettings, recon: ReconSettings, models: Sequence[str], source: Path, output: Path) -> str:
    """An acceleration study of a file: the model that segments and, if there is one, that which reconstructs."""
    more = {}
    if len(models) > 1:
        more["reconstructor"] = _Name(_load(models[1]))
    call = _call(
        "acceleration_job",
        _Name("volume"),
        _Name(_load(models[0])),
        _Name(_call("StudySettings", **changed(settings))),
        _Name(_call("ReconSettings", **changed(recon))),
        **more,
    )
    return _text(
        [
            "from pathlib import Path",
            "",
            "import napari_medseg",
            "from napari_medseg.progress import run",
            "from napari_medseg.files import save_table",
            "from napari_medseg.recon.settings import ReconSettings",
            "from napari_medseg.runs.settings import StudySettings",
            "from napari_medseg.runs.study import acceleration_job",
            "",
            f"volume = {_call('napari_medseg.read', str(source))}",
            f"study = run({call})",
            f"save_table(Path({str(output)!r}), study.table())",
        ]
    )


def train(recipe: Path, folder: Path) -> str:
    """Go on with a training, whose settings and data lie in its folder."""
    return _text(
        [
            "from pathlib import Path",
            "",
            "from napari_medseg.progress import run",
            "from napari_medseg.training.loop import train_job",
            "from napari_medseg.training.settings import read_settings",
            "",
            'if __name__ == "__main__":  # data are read by processes that begin with this text',
            f"    folder = Path({str(folder)!r})",
            f"    run(train_job(read_settings(folder / {recipe.name!r}), folder, root=folder))",
        ]
    )


def changed(settings: Any) -> dict[str, Any]:
    """The fields of a settings dataclass that are not their defaults."""
    found = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        if value != field.default:
            found[field.name] = value
    return found


class _Name(str):
    """A piece of Python that is written as it is."""

    def __repr__(self) -> str:
        return str(self)


def _call(function: str, *values: Any, **named: Any) -> str:
    """The text of a call; what is None is left out."""
    parts = [repr(value) for value in values]
    parts += [f"{name}={value!r}" for name, value in named.items() if value is not None]
    return f"{function}({', '.join(parts)})"


def _load(model: str) -> str:
    return f"napari_medseg.models.load(napari_medseg.models.find({model!r}))"


def _sorted(imports: Sequence[str]) -> list[str]:
    """Imports of the standard library first."""
    first = [line for line in imports if "napari_medseg" not in line]
    gap = [""] if first else []
    return [*first, *gap, *(line for line in imports if "napari_medseg" in line)]


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
