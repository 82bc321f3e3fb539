"""The command line that does the same as a form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import options
from .reconstruct import ReconSettings
from .sampling import Sampling


def command(
    source: Path,
    output: Path,
    settings: ReconSettings,
    *,
    sampling: Sampling | None = None,
    mask_file: Path | None = None,
    axes: str = "",
    conjugate: bool = False,
    simulate: bool = False,
) -> str:
    """The ``reconstruct`` command with these settings, quoted for the shell.

    Parameters
    ----------
    source, output : pathlib.Path
    settings : ReconSettings
    sampling : Sampling, optional
        Rules for the mask.
    mask_file : pathlib.Path, optional
        The mask in place of rules.
    axes : str
        Names of the axes, where the file does not say.
    conjugate : bool
        Whether k-space is conjugated.
    simulate : bool
        Whether `source` is an image.
    """
    words = ["napari-medseg", "reconstruct", options.operand(source), "--output", options.operand(output)]
    words += ["--method", settings.method, *options.options(replace(settings, method=ReconSettings.method))]
    if sampling:
        words += ["--mask", sampling.kind, *options.options(replace(sampling, kind=Sampling.kind))]
    if mask_file:
        words += ["--mask-file", options.operand(mask_file)]
    words += ["--axes", axes] if axes else []
    words += [option for option, given in (("--conjugate", conjugate), ("--simulate", simulate)) if given]
    return options.join(words)


def study_command(source: Path, output: Path, model: str, method: str, settings: Any) -> str:
    """The ``study acceleration`` command with the options of `StudySettings`, quoted for the shell."""
    words = ["napari-medseg", "study", "acceleration", options.operand(source), "--output", options.operand(output)]
    words += ["--model", model, "--method", method, *options.options(settings, kind="mask")]
    return options.join(words)
