import itertools
import os
import shlex
from pathlib import Path

import numpy as np
import pydicom
import pytest

from napari_medseg import cli, io
from napari_medseg.cli.segmenting import inference_settings
from napari_medseg.errors import FileError, SettingsError
from napari_medseg.runs import cohort, inputs, outputs
from napari_medseg.segmentation.inference import InferenceSettings
from napari_medseg.volume import Volume

NAMES = ("scan.nii.gz", 'a b\'s "scan" $HOME;*.png', "-x.tif", "--output", "naïve\n[1].npy")


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.mark.parametrize(
    "settings",
    [
        InferenceSettings(),
        InferenceSettings(device="cuda", batch=3, uncertainty=True),
        InferenceSettings(channel=0, split_objects=True),
        InferenceSettings("cpu", 1, 2, True, True, "none"),
    ],
)
def test_a_command_gives_back_what_it_was_made_from(settings):
    for name, output in itertools.product(NAMES, repeat=2):
        text = cohort.command(settings, "litenext-heart", [name, "other.nii"], output, axes="tzyx")
        program, *words = shlex.split(text)
        args = cli.parser().parse_args(words)
        assert program == "napari-medseg"
        assert inference_settings(args) == settings
        assert [Path(word) for word in args.inputs] == [Path(name), Path("other.nii")]
        assert (args.output, args.models, args.axes) == (Path(output), ["litenext-heart"], "tzyx")
        assert (args.uncertainty is not None) == settings.uncertainty


def test_uncertainty_lies_beside_the_labels():
    asked = InferenceSettings(uncertainty=True)
    assert cohort.command(asked, "m", ["s.nii"], "d/l.nii.gz").endswith("--uncertainty d/l_uncertainty.nii.gz")
    assert cohort.command(asked, "m", ["s.nii"], "d", "u.tif").endswith("--uncertainty u.tif")


def test_a_command_of_several_models():
    line = lambda **more: cohort.command(asked, ["m", "n"], ["s.nii"], "d/l.nii.gz", **more)  # noqa: E731
    asked = InferenceSettings(context="t")
    expected = "napari-medseg segment s.nii --output d/l.nii.gz --model m --model n --context t"
    assert line(disagreement=False) == expected
    assert line() == f"{expected} --disagreement d/l_disagreement.nii.gz"
    assert line(disagreement="-d.tif") == f"{expected} --disagreement ./-d.tif"
    asked = InferenceSettings(uncertainty=True)
    assert "--uncertainty" not in line(), "several models have none"


def test_inputs_are_files_folders_and_globs(tmp_path):
    touch(
        *(
            tmp_path / name
            for name in ("b.png", "a.nii.gz", ".hidden.png", "notes.txt", "a.json", "deep/c.tif", "x[1].tif")
        )
    )
    find = lambda *patterns: [path.name for path in inputs.find_inputs(map(str, patterns))[0]]  # noqa: E731
    assert find(tmp_path) == ["a.nii.gz", "b.png", "x[1].tif"]
    assert find(tmp_path / "*") == ["a.nii.gz", "b.png", "c.tif", "x[1].tif"]
    assert find(tmp_path / "**" / "*.tif") == ["c.tif", "x[1].tif"]
    assert find(tmp_path / "x[1].tif") == ["x[1].tif"]
    assert find(tmp_path / "b.png", tmp_path, tmp_path / "deep" / ".." / "b.png") == ["b.png", "a.nii.gz", "x[1].tif"]
    assert find(tmp_path / "notes.txt") == ["notes.txt"], "a file that was named is tried, whatever it is"


def test_links_to_folders_are_followed_once(tmp_path):
    touch(tmp_path / "in" / "a" / "b.tif", tmp_path / "in" / "c.tif", tmp_path / "far" / "d.tif")
    (tmp_path / "in" / "far").symlink_to(tmp_path / "far")
    # two links to where they lie: followed without end they would be opened 2**40 times
    for name in ("one", "two"):
        (tmp_path / "in" / "a" / name).symlink_to(tmp_path / "in")
        (tmp_path / "far" / name).symlink_to(".")
    found, failures = inputs.find_inputs([str(tmp_path / "in" / "**" / "*.tif"), str(tmp_path / "in" / "**")])
    assert sorted(path.name for path in found) == ["b.tif", "c.tif", "d.tif"] and not failures
    assert [path.name for path in inputs.find_inputs([f"{tmp_path}/**/**/far/**/d.tif"])[0]] == ["d.tif"]


def test_links_that_lead_back_to_themselves_are_named(tmp_path):
    (tmp_path / "a.nii").symlink_to("a.nii")
    (tmp_path / "b").symlink_to("b")
    for pattern in (tmp_path, tmp_path / "*", tmp_path / "a.nii"):
        found, failures = inputs.find_inputs([str(pattern)])
        assert [path.name for path in found] == ["a.nii"] or len(failures) == 1
    with pytest.raises(FileError, match="cannot be opened"):
        io.read(tmp_path / "a.nii")
    io.write(Volume(np.zeros((2, 2), np.uint8), "yx"), tmp_path / "a.nii")
    assert not (tmp_path / "a.nii").is_symlink()


def dicom_slices(folder: Path, series: str, names: list[str]) -> None:
    """Small DICOM images, 2 mm apart."""
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        header = pydicom.Dataset()
        header.file_meta = pydicom.dataset.FileMetaDataset()
        header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        header.SOPClassUID, header.SOPInstanceUID = pydicom.uid.MRImageStorage, pydicom.uid.generate_uid()
        header.SeriesInstanceUID, header.Modality = series, "MR"
        header.Rows = header.Columns = 2
        header.PixelSpacing = [1, 1]
        header.ImageOrientationPatient, header.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 2 * index]
        header.BitsAllocated = header.BitsStored = 8
        header.HighBit, header.PixelRepresentation, header.SamplesPerPixel = 7, 0, 1
        header.PhotometricInterpretation, header.PixelData = "MONOCHROME2", bytes(4)
        header.save_as(folder / name, enforce_file_format=True)


def test_a_dicom_series_is_one_input(tmp_path):
    one, two = pydicom.uid.generate_uid(), pydicom.uid.generate_uid()
    dicom_slices(tmp_path / "one", one, ["b.dcm", "a.dcm", "0001"])
    dicom_slices(tmp_path / "two", one, ["b.dcm", "a.dcm"])
    dicom_slices(tmp_path / "two", two, ["c.dcm", "d.dcm"])
    touch(tmp_path / "one" / "preview.png", tmp_path / "two" / "preview.png")
    find = lambda *patterns: [str(p.relative_to(tmp_path)) for p in inputs.find_inputs(map(str, patterns))[0]]  # noqa: E731
    assert find(tmp_path / "one") == ["one"]
    assert sorted(find(tmp_path / "two")) == ["two/a.dcm", "two/c.dcm", "two/preview.png"]
    assert find(*sorted((tmp_path / "one").glob("*.dcm"))) == ["one/a.dcm"], "as the shell unfolds a glob"
    assert find(tmp_path / "*" / "*.dcm") == ["one/a.dcm", "two/a.dcm", "two/c.dcm"]
    assert outputs.place([tmp_path / "one"], tmp_path / "out", single=False)[0].name == "one.nii.gz"


def test_inputs_that_mean_nothing_are_told(tmp_path):
    (tmp_path / "empty").mkdir()
    sources, failures = inputs.find_inputs([str(tmp_path / "empty"), str(tmp_path / "*.nii"), "nowhere"])
    assert not sources
    assert [failure.file for failure in failures] == [str(tmp_path / "empty"), str(tmp_path / "*.nii"), "nowhere"]
    assert "holds no file" in failures[0].error
    assert "does not exist" in failures[1].error


def test_outputs_are_named_after_inputs_and_never_collide(tmp_path):
    names = ["a/s.nii.gz", "b/s.nii.gz", "b/s.png", "b/S.tif", "t.npy", "u.ome.tif", "v.2.png", "IM.0001"]
    sources, out = [tmp_path / name for name in names], tmp_path / "out"
    labels = outputs.place(sources, out, single=False)
    unsure = outputs.place(sources, out, "_uncertainty", single=False)
    differ = outputs.place(sources, out / "differ", "_disagreement", single=False)
    assert [path.name for path in labels] == [
        "a_s.nii.gz",
        "b_s_nii_gz.nii.gz",
        "b_s_png.tif",
        "b_S_tif.tif",
        "t.npz",
        "u.tif",
        "v.2.tif",
        "IM.0001.nii.gz",
    ]
    assert unsure[0] == tmp_path / "out" / "a_s_uncertainty.nii.gz"
    assert differ[1] == tmp_path / "out" / "differ" / "b_s_nii_gz_disagreement.nii.gz"
    assert len({str(path).casefold() for path in (*labels, *unsure, *differ)}) == 3 * len(sources)


def test_output_of_one_input_is_a_file_or_lies_in_a_folder(tmp_path):
    (tmp_path / "folder.d").mkdir()
    place = lambda name, single=True: outputs.place([Path("in/s.png")], tmp_path / name, single=single)[0]  # noqa: E731
    assert place("labels.nii.gz") == tmp_path / "labels.nii.gz"
    assert place("folder") == tmp_path / "folder" / "s.tif"
    assert place("folder.d") == tmp_path / "folder.d" / "s.tif"
    with pytest.raises(SettingsError, match=r"ending that cannot be written.*\.nii\.gz"):
        place("labels.xyz")
    with pytest.raises(SettingsError, match="Give a folder"):
        place("labels.nii.gz", single=False)


def test_two_inputs_with_one_name_for_their_results_are_both_named(tmp_path):
    (tmp_path / "out").mkdir()
    sources = [Path("in/a/s.png"), Path("in/b/s.png"), Path("in/a_s.png")]
    with pytest.raises(SettingsError, match=r"'in/a/s\.png' and 'in/a_s\.png' would both be called 'a_s_png\.tif'"):
        outputs.place(sources, tmp_path / "out", single=False)


def test_no_output_may_replace_an_input(tmp_path):
    image, link = tmp_path / "in" / "s.tif", tmp_path / "link.tif"
    touch(image)
    link.symlink_to(image)
    for output in (image, link, tmp_path / "in" / ".." / "in" / "s.tif"):
        with pytest.raises(SettingsError, match="would replace"):
            outputs.refuse_conflicts([image], [output])
    with pytest.raises(SettingsError, match="would replace"):
        outputs.refuse_conflicts([], [tmp_path / "new.tif", tmp_path / "new.tif"])
    with pytest.raises(SettingsError, match="take it for an image"):
        outputs.refuse_conflicts([tmp_path / "in"], [tmp_path / "in" / "t.tif"])
    outputs.refuse_conflicts([image, tmp_path / "in"], [tmp_path / "out" / "s.tif"])


def test_pairs_share_a_name_but_for_the_suffix(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    touch(ours / "a.tif", ours / "b.nii.gz", ours / "c.nii", theirs / "A.nii.gz", theirs / "b.tif", theirs / "d.tif")
    pairs, failures = inputs.find_pairs(ours, theirs)
    assert pairs == [(ours / "a.tif", theirs / "A.nii.gz"), (ours / "b.nii.gz", theirs / "b.tif")]
    assert [Path(failure.file).name for failure in failures] == ["c.nii", "d.tif"]
    assert inputs.find_pairs(ours / "a.tif", theirs / "b.tif") == ([(ours / "a.tif", theirs / "b.tif")], [])
    with pytest.raises(SettingsError, match="both be folders"):
        inputs.find_pairs(ours, theirs / "b.tif")
    touch(ours / "a.png")
    with pytest.raises(SettingsError, match="differ in suffix only"):
        inputs.find_pairs(ours, theirs)


def test_pairs_differ_by_usual_marks(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    touch(ours / "a.nii.gz", ours / "b_0000.nii.gz", ours / "c_seg.NII.GZ", ours / "._a.nii.gz", ours / "Thumbs.db")
    touch(theirs / "a_segmentation.nii.gz", theirs / "b.nii.gz", theirs / "c_gt.nii.gz", theirs / "._b.nii.gz")
    pairs, failures = inputs.find_pairs(ours, theirs)
    assert [(a.name, b.name) for a, b in pairs] == [
        ("a.nii.gz", "a_segmentation.nii.gz"), ("b_0000.nii.gz", "b.nii.gz"), ("c_seg.NII.GZ", "c_gt.nii.gz"),
    ]  # fmt: skip
    assert not failures
    touch(theirs / "a_mask.nii.gz")
    with pytest.raises(FileError, match=r"2 files fit 'a.nii.gz': a_mask.nii.gz, a_segmentation.nii.gz"):
        inputs.find_pairs(ours, theirs)
    (tmp_path / "empty").mkdir()
    pairs, failures = inputs.find_pairs(tmp_path / "empty", tmp_path / "empty")
    assert not pairs and "holds no file that can be read" in failures[0].error


def test_what_a_folder_holds_besides_is_counted_and_named(tmp_path):
    folder = tmp_path / "scans"
    touch(*(folder / name for name in ("a.nii.gz", "b.mnc", "c.vtk", "notes.txt", "Thumbs.db", "._a.nii.gz")))
    touch(folder / "day 2" / "d.nii.gz", folder / "__MACOSX" / "._a.nii.gz")
    assert [path.name for path in inputs.find_inputs([str(folder)])[0]] == ["a.nii.gz"]
    inner, others = inputs.left_out([folder, folder / "a.nii.gz"])
    assert inner.startswith(f"'{folder}' holds 1 folder that is not searched: day 2. Name them, or give a quoted glob")
    assert others == f"'{folder}' holds 2 other files that are left out: b.mnc, c.vtk."
    (others,) = inputs.left_out([str(folder / "*")])
    assert others == f"'{folder / '*'}' means 2 other files that are left out: b.mnc, c.vtk."
    dicom_slices(tmp_path / "one", pydicom.uid.generate_uid(), ["a.dcm", "b.dcm"])
    touch(tmp_path / "one" / "preview.png", tmp_path / "one" / "._a.dcm", tmp_path / "one" / "README")
    assert inputs.left_out([tmp_path / "one"]) == [
        f"'{tmp_path / 'one'}' holds 1 other file that is left out: preview.png."
    ]
    touch(tmp_path / "raw" / "k.cfl", tmp_path / "raw" / "k.hdr", tmp_path / "raw" / "._k.cfl")
    assert not inputs.left_out([tmp_path / "raw"], inputs.kspace_kind)


def test_what_the_shell_unfolds_holds_no_clutter(tmp_path):
    touch(tmp_path / "a.png", tmp_path / "Thumbs.db", tmp_path / "a.png:Zone.Identifier", tmp_path / "__MACOSX" / "._a")
    unfolded = [str(path) for path in sorted(tmp_path.iterdir())]
    assert inputs.find_inputs(unfolded) == ([tmp_path / "a.png"], [])
    assert inputs.find_inputs([str(tmp_path / "Thumbs.db")])[0], "a file that was named is tried"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_links_and_pipes_among_the_inputs_are_named(tmp_path):
    touch(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    os.mkfifo(tmp_path / "c.png")
    named = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    twice = "'b.png' is the same file as 'a.png' and is taken once."
    assert inputs.find_inputs(named) == ([tmp_path / "a.png"], []) and inputs.taken_once(named) == [twice]
    assert inputs.taken_once([str(tmp_path)]) == [twice] and inputs.taken_once([named[0], named[0]]) == []
    assert inputs.left_out([tmp_path]) == [f"'{tmp_path}' holds 1 other file that is left out: c.png."]
    assert inputs.left_out(named) == [], "evaluate compares a link with what it leads to"
