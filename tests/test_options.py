"""One table of options: what a command line can say, and what is written as one, are the same settings."""

import argparse
import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest

from napari_medseg import cli, options
from napari_medseg.models.registry import published_names
from napari_medseg.models.settings import ImportSettings
from napari_medseg.options import option
from napari_medseg.recon.methods import METHODS
from napari_medseg.recon.settings import AUTO, HiddenSettings, ReconSettings, Sampling
from napari_medseg.runs.settings import StudySettings
from napari_medseg.segmentation.settings import InferenceSettings

COMMANDS = {  # the settings of each command, and what else it must be given
    "segment": (["scan.nii", "-o", "labels.nii", "--model", "m"], [InferenceSettings]),
    "reconstruct": (["scan.h5", "-o", "image.nii"], [ReconSettings, Sampling]),
    "study acceleration": (["scan.nii", "-o", "t.csv", "--model", "m"], [StudySettings, ReconSettings]),
    "study methods": (["scan.h5", "-o", "t.csv"], [Sampling, HiddenSettings]),
    "models import": (["w.pth", "--name", "n"], [ImportSettings]),
}
OTHER = {  # a value that is not the default, for every field
    InferenceSettings: InferenceSettings("cpu", 3, 2, True, True, "t", "bfloat16", "labels"),
    ReconSettings: ReconSettings("wavelet", "soft", 0.25, -1e-7, -3, "cuda", "homodyne", True),
    Sampling: Sampling("poisson", 3.5, 0.0625, 7, 2, "y"),
    StudySettings: StudySettings((1, 2.5, 1e20), "random", -1e-9, "y", 5, 1e-05),
    HiddenSettings: HiddenSettings(0.2, 2, 3),
    ImportSettings: ImportSettings("a", ("-x", "left, right"), "-t", "MR 'T1'", "--x", (-1e-05, 2.0), "corrected", 0),
}
CASES = [(command, kind) for command, (_, kinds) in COMMANDS.items() for kind in kinds]


def parsed(command, words):
    parsers = next(a for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction))
    return parsers.choices[command].parse_args([*COMMANDS[command][0], *words])


@pytest.mark.parametrize(("command", "kind"), CASES)
def test_every_field_is_an_option_of_its_command(command, kind):
    parsers = next(a for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction))
    known = {flag for action in parsers.choices[command]._actions for flag in action.option_strings}
    rows = options.table(kind)
    assert [field.name for field in fields(kind)] == list(rows)
    assert {row.flag for row in rows.values()} <= known
    assert all(row.help for row in rows.values())


@pytest.mark.parametrize(("command", "kind"), CASES)
def test_settings_come_back_from_their_words(command, kind):
    everything = OTHER[kind]
    others = ["--method", "tv"] if command == "reconstruct" and kind is not ReconSettings else []
    changed = [replace(kind(), **{f.name: getattr(everything, f.name)}) for f in fields(kind)]
    for field, settings in zip(fields(kind), changed, strict=True):
        assert settings != kind(), f"{field.name} has its default"
    for settings in (kind(), everything, *changed):
        files = ["--uncertainty", "u.tif"] if getattr(settings, "uncertainty", False) is True else []
        args = parsed(command, [*options.words(settings), *others, *files])
        assert options.read(args, kind) == settings


def test_what_the_model_decides_can_be_switched_on_and_off():
    for wanted, words in ((True, ["--split-objects"]), (False, ["--no-split-objects"]), (None, [])):
        settings = InferenceSettings(split_objects=wanted)
        assert options.words(settings) == words
        assert options.read(parsed("segment", words), InferenceSettings) == settings


def test_what_is_not_given_is_not_in_the_settings():
    args = parsed("reconstruct", ["--method", "tv", "--seed", "3"])
    assert options.given(args, ReconSettings) == {"method": "tv"}
    assert options.given(args, Sampling) == {"seed": 3}


def test_a_command_in_one_text():
    text = options.command(
        "reconstruct",
        Path("-a b.h5"),
        output=Path("-o.nii"),
        settings=ReconSettings(strength=-1e-05),
        sampling=None,
        mask_file=Path("--m.npy"),
        axes="",
        conjugate=True,
        simulate=False,
    )
    program, name, *words = shlex.split(text)
    assert (program, name) == ("napari-medseg", "reconstruct")
    assert words == [
        *("./-a b.h5", "--output", "./-o.nii", "--method", "auto", "--strength=-0.00001"),
        *("--mask-file", "./--m.npy", "--conjugate"),
    ]
    args = cli.parser().parse_args([name, *words])
    assert ([*map(Path, args.inputs)], args.output, args.mask_file) == (
        [Path("-a b.h5")],
        Path("-o.nii"),
        Path("--m.npy"),
    )
    assert options.command("train", "s.json", run="-r", model=["a", "-b"]).endswith(
        "s.json --run=-r --model a --model=-b"
    )


@dataclass(frozen=True)
class Walk:
    steps: int = option(4, "how many", smallest=1)
    pace: float | None = option(None, "how fast (default: as usual)")
    stops: tuple[float, ...] = option((1.5, 2), "where", metavar="1,2")


def test_help_and_refusals(capsys):
    parser = argparse.ArgumentParser()
    options.add_arguments(parser, Walk, required=("pace",))
    text = parser.format_help()
    assert "how many (default: 4)" in text and "where (default: 1.5,2)" in text
    for words, sentence in (
        (["--pace", "1", "--steps", "0"], "'0' is not a whole number from 1"),
        (["--pace", "1", "--stops", "1,x"], "'1,x' is not a list of numbers such as 1,2,4"),
        (["--steps", "2"], "--pace"),
    ):
        with pytest.raises(SystemExit):
            parser.parse_args(words)
        assert sentence in capsys.readouterr().err
    walk = Walk(2, -0.1, (-1, 3e-9))
    assert options.words(walk) == ["--steps", "2", "--pace=-0.1", "--stops=-1,0.000000003"]
    assert options.read(parser.parse_args(options.words(walk)), Walk) == walk


def test_help_names_what_can_be_imported():
    named = options.table(ImportSettings)["architecture"].help.split(";")[0].replace(" or ", ", ").split(", ")
    assert sorted(named) == sorted(published_names())


def test_help_names_the_methods():
    named = options.table(ReconSettings)["method"].help.split(", or ")[0].split(", ")
    assert named == [f"{AUTO} (by the data)", *METHODS]
