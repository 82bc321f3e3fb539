"""Tables and plots as files."""

import csv

import pytest
from matplotlib.figure import Figure

from napari_medseg import files
from napari_medseg.errors import FileError
from napari_medseg.files import save_plot, save_table


def test_table_keeps_its_cells(tmp_path):
    rows = [["name", "a, b"], ["größe\nof two lines", "1.5"]]
    save_table(tmp_path / "a.csv", rows)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == rows


def test_earlier_file_survives_a_save_that_fails(tmp_path):
    for name, save in (
        ("a.csv", lambda path: save_table(path, [["new"]])),
        ("a.png", lambda path: save_plot(path, Figure())),
    ):
        path = tmp_path / name
        path.write_text("earlier")
        path.chmod(0o444)
        with pytest.raises(FileError, match="write-protected"):
            save(path)
        assert path.read_text() == "earlier"
    assert len(list(tmp_path.iterdir())) == 2


def test_plot_is_of_the_kind_that_its_name_says(tmp_path):
    for name, begin in {"plot.png": b"\x89PNG", "plot.pdf": b"%PDF", "plot": b"\x89PNG"}.items():
        save_plot(tmp_path / name, Figure())
        assert (tmp_path / name).read_bytes().startswith(begin)
    with pytest.raises(FileError, match=r"End its name in \.png"):
        save_plot(tmp_path / "plot.txt", Figure())


def test_names_that_look_like_formulas_are_text():
    lines = files.csv_text([["=cmd|calc", "@x", "-a", -1.5, "-1.5", "+2e3", "liver"]]).splitlines()
    assert lines == ["'=cmd|calc,'@x,'-a,-1.5,-1.5,+2e3,liver"]
