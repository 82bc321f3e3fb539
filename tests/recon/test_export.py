"""Tables and plots as files."""

import csv

import pytest
from matplotlib.figure import Figure

from napari_medseg.errors import FileError
from napari_medseg.recon.export import save_plot, save_table


def test_table_keeps_its_cells(tmp_path):
    rows = [["name", "a, b"], ["größe\nof two lines", "1.5"]]
    save_table(tmp_path / "a.csv", rows)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == rows


def test_earlier_file_survives_a_save_that_fails(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("earlier")
    path.chmod(0o444)
    for save in (lambda: save_table(path, [["new"]]), lambda: save_plot(path, Figure())):
        with pytest.raises(FileError, match="write-protected"):
            save()
    assert path.read_text() == "earlier" and list(tmp_path.iterdir()) == [path]


def test_plot_is_a_picture_whatever_its_name(tmp_path):
    save_plot(tmp_path / "plot.txt", Figure())
    assert (tmp_path / "plot.txt").read_bytes().startswith(b"\x89PNG")
