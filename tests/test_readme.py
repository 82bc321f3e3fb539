"""The examples of the README run as they stand there."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from napari_medseg import cli, samples

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture(autouse=True)
def scan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(samples.path("sunnybrook_SC-HF-I-01_ED.nii.gz"), "scan.nii.gz")
    shutil.copy(samples.path("sunnybrook_SC-HF-I-01_ED_label.nii.gz"), "reference.nii.gz")
    shutil.copy(samples.path("brain8_poisson8x.npz"), "raw.npz")


def blocks(language):
    found = re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found


def test_python_examples(capsys):
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})
    assert re.search(r"left-ventricular cavity \d+\.\d ml", capsys.readouterr().out)


def test_command_line_examples():
    for line in "".join(blocks("bash")).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "napari-medseg"
        assert cli.main(arguments) == 0, line
