"""Names and colours of classes, for other programs and from them."""

import nibabel as nib
import numpy as np
import pytest
import tifffile
from nibabel.nifti1 import Nifti1Extension

from napari_medseg import cli, io
from napari_medseg.errors import FileError
from napari_medseg.io import class_tables
from napari_medseg.volume import LabelClass, Volume

CLASSES = (LabelClass(1, "left ventricle", "#e64b35"), LabelClass(7, "Größe 肝臓", "#010203"))
FOREIGN = """<?xml version="1.0" encoding="UTF-8"?>{more}<CaretExtension><VolumeInformation Index="0"><LabelTable>
<Label Key="0" Red="1" Green="1" Blue="1" Alpha="0"><![CDATA[???]]></Label>
<Label Key="5" Red="0.2" Green="0.4" Blue="1.0" Alpha="1"><![CDATA[spleen & co]]></Label>
</LabelTable><VolumeType><![CDATA[Label]]></VolumeType></VolumeInformation></CaretExtension>"""


@pytest.fixture
def labels():
    return Volume(np.arange(8, dtype=np.uint8).reshape(2, 2, 2), "zyx", classes=CLASSES)


@pytest.mark.parametrize(("kind", "name"), [("itksnap", "a.label.txt"), ("bids", "a.tsv")])
def test_tables_come_back(tmp_path, labels, kind, name):
    table = class_tables.place(tmp_path / "a.nii.gz", CLASSES, kind)
    class_tables.save(table, CLASSES, kind)
    assert table.name == name
    assert class_tables.read(table) == CLASSES


@pytest.mark.parametrize(
    "text",
    [
        "id,name,colour\n1,left ventricle,#E64B35\n\n7,Größe 肝臓,010203\n",
        "\ufeffClass;Colour;Index\r\nleft ventricle;#e64b35;1\r\nGröße 肝臓;#010203;7\r\n",
        'case,class,id,color\na,left ventricle,1,#e64b35\na,"Größe 肝臓",7,#010203\nb,left ventricle,1,\n',
    ],
)
def test_a_csv_table_is_read(tmp_path, text):
    (tmp_path / "a.csv").write_text(text, "utf-8")
    assert class_tables.read(tmp_path / "a.csv") == CLASSES


@pytest.mark.parametrize(
    "text",
    ["", "1,left ventricle\n", "label\n1\n", "id,name\none,left\n", 'id,name\n1,"left\n7,right\n']
    + [f"id,name\n{'1' * 5000},left\n"],
)
def test_another_csv_is_refused(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(FileError, match="does not hold a class table; expected a column index"):
        class_tables.read(tmp_path / "a.csv")


def test_names_are_whole_or_refused(tmp_path):
    table = tmp_path / "a.csv"
    text = "id,name\n1,left ventricle\n7,Größe\n"
    table.write_text(text, "utf-16")
    assert [row.name for row in class_tables.read(table)] == ["left ventricle", "Größe"]
    table.write_text(text, "latin-1")
    with pytest.raises(FileError, match=r"not UTF-8 \(byte 30\).*Save it again as UTF-8"):
        class_tables.read(table)
    table.write_text("id,name\n1,a\n5000000000,b\n")
    with pytest.raises(FileError, match="names class 5000000000; labels end at 4294967295"):
        class_tables.read(table)


def test_names_are_given_by_number():
    table = (LabelClass(7, "liver", "#9a9a9a"), LabelClass(9, "not there", "#ffffff"))
    ours, theirs = class_tables.renamed(CLASSES, table)
    assert ours == CLASSES[0] and (theirs.name, theirs.colour) == ("liver", "#010203"), "grey is no colour of a table"
    with pytest.raises(FileError, match="names 9, and the classes are 1, 7"):
        class_tables.renamed(CLASSES, table[1:])


def test_a_table_of_itk_snap_is_read(tmp_path):
    text = '# comment\n  0   0 0   0    0  0  0   "Clear Label"\n  2   255 0  128    0.5  1  1    "a \'b\' c"\n'
    (tmp_path / "a.txt").write_text(text)
    assert class_tables.read(tmp_path / "a.txt") == (LabelClass(2, "a 'b' c", "#ff0080"),)
    assert "\"say 'x'\"" in class_tables.itk_snap([LabelClass(1, 'say "x"', "#ffffff")])


def test_a_bids_table_may_lack_colours_and_have_other_columns(tmp_path):
    (tmp_path / "a.tsv").write_text('name\tindex\tabbreviation\nliver\t1\tL\n"quoted"\t2\tQ\nbackground\t0\tb\n')
    assert class_tables.read(tmp_path / "a.tsv") == (
        LabelClass(1, "liver", "#9a9a9a"),
        LabelClass(2, '"quoted"', "#9a9a9a"),
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "hello\n"),
        ("a.txt", ""),
        ("a.txt", '1 2 3 "x"'),
        ("a.tsv", "index\tcolor\n1\t#fff\n"),
        ("a.tsv", "index\tname\nx\ty\n"),
        ("a.tsv", f"index\tname\n{'1' * 5000}\ty\n"),
        ("a.tsv", f"index\tname\n1\t{'y' * 200_000}\n"),
        ("a.txt", f'{"1" * 5000} 255 0 0 1 1 1 "x"\n'),
        ("a.tsv", "x" * (2**24 + 1)),
    ],
)
def test_other_texts_are_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(FileError, match="class table"):
        class_tables.read(tmp_path / name)


def test_a_file_of_another_program_is_not_replaced(tmp_path, labels):
    source = io.write(labels, tmp_path / "labels.npz")
    (tmp_path / "a.tsv").write_text("onset\tduration\n1\t2\n")
    assert cli.main(["convert", str(source), str(tmp_path / "a.nii.gz"), "--names", "bids"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tsv", "labels.npz"]
    assert (tmp_path / "a.tsv").read_text() == "onset\tduration\n1\t2\n"


@pytest.mark.parametrize("kind", class_tables.KINDS)
def test_convert_writes_a_table_next_to_labels(tmp_path, labels, kind):
    source = io.write(labels, tmp_path / "labels.npz")
    target = tmp_path / "out" / "b_dseg.nii.gz"
    target.parent.mkdir()
    assert cli.main(["convert", str(source), str(target), "--names", kind]) == 0
    assert sorted(path.name for path in target.parent.iterdir()) == sorted(
        ["b_dseg.nii.gz", f"b_dseg{class_tables.KINDS[kind].ending}"]
    )


def test_convert_without_classes_writes_nothing(tmp_path, labels):
    source = io.write(Volume(np.ones((2, 3, 4), np.float32), "zyx"), tmp_path / "image.npz")
    assert cli.main(["convert", str(source), str(tmp_path / "b.nii.gz"), "--names", "bids"]) == 1
    assert not (tmp_path / "b.nii.gz").exists()


def foreign(path, *extensions):
    image = nib.Nifti1Image(np.full((2, 3, 4), 5, np.int16), np.diag([2, 3, 4, 1]))
    image.header.extensions.extend(Nifti1Extension(*extension) for extension in extensions)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("code", [0, 30])
def test_a_label_table_in_nifti_is_read(tmp_path, code):
    back = io.read(foreign(tmp_path / "a.nii.gz", (code, FOREIGN.format(more="").encode())))
    assert back.classes == (LabelClass(5, "spleen & co", "#3366ff"),)
    assert back.metadata["labels"]


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        FOREIGN.format(more="").replace('Key="5"', 'Key="five"').encode(),
        FOREIGN.format(more="").replace('Key="5"', "").encode(),
        FOREIGN.format(more='<!DOCTYPE a [<!ENTITY b "c">]>').encode(),
        FOREIGN.format(more="")[:-30].encode(),
    ],
)
def test_a_broken_label_table_leaves_an_image(tmp_path, content):
    back = io.read(foreign(tmp_path / "a.nii.gz", (0, content)))
    assert not back.classes and back.data.shape == (4, 3, 2)


def test_our_labels_have_a_label_table_first(tmp_path, labels):
    image = nib.load(io.write(labels, tmp_path / "a.nii.gz"))
    extensions = image.header.extensions
    assert [extension.get_code() for extension in extensions] == [0, 30, 6]
    assert class_tables.from_xml(extensions[0].get_content()) == CLASSES, "as TotalSegmentator takes it"
    assert class_tables.from_xml(extensions[1].content) == CLASSES
    image = io.write(Volume(np.ones((2, 3, 4), np.float32), "zyx"), tmp_path / "b.nii.gz")
    assert [extension.get_code() for extension in nib.load(image).header.extensions] == [6]


def test_a_bids_table_next_to_labels_is_read_by_their_name(tmp_path, caplog):
    class_tables.save(tmp_path / "a_dseg.tsv", (LabelClass(5, "liver", "#0a0b0c"),), "bids")
    path = foreign(tmp_path / "a_dseg.nii.gz")
    assert io.read(path).classes == (LabelClass(5, "liver", "#0a0b0c"),)
    (tmp_path / "a_dseg.tsv").rename(tmp_path / "a.tsv")
    assert not io.read(path.rename(tmp_path / "a.nii.gz")).classes
    (tmp_path / "b_dseg.tsv").write_text("nothing")
    assert not io.read((tmp_path / "a.nii.gz").rename(tmp_path / "b_dseg.nii.gz")).classes
    assert "class table" in caplog.text


def test_ome_tiff_names_channels_and_classes(tmp_path, labels):
    data = np.zeros((2, 3, 4, 5), np.uint16)
    names = ("DAPI", "Größe")
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata={"axes": "CZYX", "Channel": {"Name": names}})
    image = io.read(tmp_path / "a.ome.tif")
    assert image.metadata["channels"] == names
    assert io.read(io.write(image, tmp_path / "b.ome.tif")).metadata["channels"] == names
    with tifffile.TiffFile(io.write(labels, tmp_path / "c.ome.tif")) as tif:
        assert "napari-medseg/classes" in tif.ome_metadata and "Größe 肝臓 #010203" in tif.ome_metadata
    assert io.read(tmp_path / "c.ome.tif").classes == CLASSES


def test_channels_without_names_have_none(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((2, 3, 4, 5), np.uint16), metadata={"axes": "CZYX"})
    assert "channels" not in io.read(tmp_path / "a.ome.tif").metadata


def test_the_command_offers_every_kind(capsys):
    with pytest.raises(SystemExit):
        cli.main(["convert", "--help"])
    text = capsys.readouterr().out
    assert all(kind in text for kind in class_tables.KINDS)
