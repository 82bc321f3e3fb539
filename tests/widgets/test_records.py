"""What a layer remembers of its making, from the run over the save to Fine-tune."""

import gc
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from napari.layers._source import layer_source

from napari_medseg import io
from napari_medseg.io.contributions import KEY, get_reader, layer_tuple
from napari_medseg.progress import run
from napari_medseg.record import Record, UsedModel
from napari_medseg.segmentation.inference import Part
from napari_medseg.volume import LabelClass, Volume
from napari_medseg.widgets.fine_tune.data import (
    Remarks,
    Reviews,
    are_objects,
    layers_job,
    look_job,
    mark,
    painted_labels,
)
from napari_medseg.widgets.kit import layer_volumes
from napari_medseg.widgets.kit.painting import painting_of
from napari_medseg.widgets.kit.records import is_made_by_model, ledger_of, put_record, record_of, say_reviewed

CLASSES = (LabelClass(1, "nucleus", "#4dbbd5"),)
RECORD = Record("segment", models=(UsedModel("tiny", "12"),), seconds=2.0)


def followed(viewer):
    """As soon as a dock is open."""
    painting_of(viewer)
    return viewer


@pytest.fixture
def viewer():
    return followed(ViewerModel())


def reviewed(layer):
    """As Fine-tune sees it."""
    reviews = Reviews()
    reviews.saw(layer, run(look_job(layer.data, reviews.look(layer))))
    return reviews.reviewed(layer)


def segmented(viewer):
    """The layer of a finished run that labelled every slice."""
    metadata = {"series_uid": "1.2.3", "modality": "MR", "source": "scan.dcm", "format": "DICOM"}
    volume = Volume(np.zeros((5, 16, 16), np.uint8), "zyx", np.diag([1, 2, 8, 1.0]), metadata=metadata)
    image = viewer.add_layer(Layer.create(*layer_tuple(volume, "scan")))
    result = layer_volumes.Result(viewer, image, volume, "tiny", CLASSES)
    result.show(Part(np.ones((5, 16, 16), np.uint8), None, list(range(5))))
    assert reviewed(result.labels) == ()
    result.finish(RECORD)
    return result.labels


def opened(viewer, path):
    with layer_source(path=str(path), reader_plugin="napari-medseg"):
        return viewer.add_layer(Layer.create(*get_reader(str(path))(str(path))[0]))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".tif", ".ome.tif", ".npz"])
def test_segment_correct_one_slice_save_open(viewer, tmp_path, ending):
    layer = segmented(viewer)
    layer.paint((3, 8, 8), 0)
    assert reviewed(layer) == (3,)
    path = io.write(layer_volumes.labels_volume(layer, None, None), tmp_path / f"labels{ending}")
    other = followed(ViewerModel())
    again = opened(other, path)
    assert reviewed(again) == (3,) and is_made_by_model(again)
    assert record_of(again) == RECORD.with_reviewed([3])
    again.paint((1, 8, 8), 0)
    assert reviewed(again) == (1, 3)


def test_labels_of_a_file_without_notes_are_not_reviewed_until_a_person_says_so(viewer, tmp_path):
    np.savez(tmp_path / "labels.npz", data=np.ones((4, 8, 8), np.uint8))
    layer = opened(viewer, tmp_path / "labels.npz")
    assert reviewed(layer) == () and not is_made_by_model(layer)
    say_reviewed(layer, [2])
    assert reviewed(layer) == (2,) and record_of(layer).what == ""


def test_labels_opened_by_another_reader_are_not_reviewed(viewer):
    with layer_source(path="labels.tif", reader_plugin="napari"):
        layer = viewer.add_labels(np.ones((4, 8, 8), np.uint8))
    assert reviewed(layer) == ()
    with layer_source(parent=layer):
        assert reviewed(viewer.add_labels(layer.data.copy())) == (), "nor is a duplicate"


def test_labels_drawn_in_this_session_are_reviewed_where_they_are(viewer):
    data = np.zeros((4, 8, 8), np.uint8)
    data[2] = 1
    layer = viewer.add_labels(data)
    assert reviewed(layer) == (2,)
    with layer_source(parent=layer):
        assert reviewed(viewer.add_labels(layer.data.copy())) == (2,)


def test_drawn_labels_keep_the_grid_of_their_image_and_what_was_reviewed(viewer, tmp_path):
    affine = np.diag([1, 2, 8, 1.0])
    volume = Volume(np.zeros((4, 8, 9)), "zyx", affine, metadata={"series_uid": "1.2", "record": Record("reconstruct")})
    image = viewer.add_layer(Layer.create(*layer_tuple(volume, "scan")))
    layer = viewer.add_labels(np.ones((4, 8, 9), np.uint8), scale=image.scale, translate=image.translate)
    say_reviewed(layer, [1])
    back = io.read(io.write(layer_volumes.labels_volume(layer, image, "zyx"), tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(back.affine, affine)
    assert back.metadata["series_uid"] == "1.2"
    assert (back.record.what, back.record.reviewed) == ("draw", (1,))


def test_a_duplicate_goes_its_own_way(viewer):
    layer = segmented(viewer)
    data, meta, kind = layer.as_layer_data_tuple()
    copy = viewer.add_layer(Layer.create(data.copy(), {**meta, "name": "copy"}, kind))
    assert record_of(copy) == RECORD
    say_reviewed(copy, [2])
    assert reviewed(copy) == (2,) and reviewed(layer) == ()
    put_record(layer, RECORD.with_reviewed([0]))
    assert reviewed(copy) == (2,)


def test_steps_of_the_undo_history_name_their_slices(viewer):
    layer = viewer.add_labels(np.zeros((8, 40, 48), np.uint8))
    seen = []
    painting_of(viewer).painted.connect(lambda painted, slices: seen.append(slices) if painted is layer else None)
    layer.paint((2, 20, 20), 3)
    layer.data_setitem((np.array([4, 6]), np.array([1, 1]), np.array([2, 2])), 5)
    assert seen == [{2}, {4, 6}]


def test_strokes_on_a_layer_that_was_taken_out_are_not_heard(viewer):
    layer = viewer.add_labels(np.zeros((8, 40, 48), np.uint8))
    say_reviewed(layer, [])
    viewer.layers.remove(layer)
    layer.paint((2, 20, 20), 3)
    assert record_of(layer).reviewed == ()


def test_every_viewer_has_one_listener_which_ends_with_it():
    viewer = followed(ViewerModel())
    same = painting_of(viewer) is painting_of(viewer)
    seen = weakref.ref(painting_of(viewer))
    del viewer
    gc.collect()
    assert same and seen() is None


# ---- labels that number objects ----


def dots(count, size=48):
    """So many squares, numbered one by one."""
    data = np.zeros((size, size), np.uint32)
    for number in range(count):
        y, x = divmod(number, size // 4)
        data[4 * y : 4 * y + 3, 4 * x : 4 * x + 3] = number + 1
    return data


def looked_at(layer):
    reviews = Reviews()
    reviews.saw(layer, run(look_job(layer.data, reviews.look(layer))))
    return reviews


def test_numbered_objects_are_one_class_and_become_its_number(viewer):
    layer = viewer.add_labels(dots(100))
    reviews = looked_at(layer)
    assert are_objects(layer, reviews, None)
    (painted,) = painted_labels([layer], reviews, None, [layer])
    assert painted.name == "object" and painted.label == 1 and painted.more == tuple(range(2, 101))
    image = viewer.add_image(np.random.default_rng(0).random((48, 48)))
    marked = mark(layer, image, "yx", reviews, dict.fromkeys(range(1, 101), 1))
    np.testing.assert_array_equal(marked.translated(), layer.data > 0)


def test_labels_with_names_or_several_regions_are_classes(viewer):
    named = viewer.add_labels(dots(20), metadata={KEY: {"classes": CLASSES}})
    assert not are_objects(named, looked_at(named), None)
    scattered = viewer.add_labels(dots(100) % 20)
    assert not are_objects(scattered, looked_at(scattered), None)
    assert len(painted_labels([scattered], looked_at(scattered), None)) == 19


def test_split_objects_of_a_run_are_objects_however_few(viewer):
    layer = viewer.add_labels(dots(2))
    put_record(layer, Record("segment", settings={"split_objects": True}, reviewed=(0,)))
    assert are_objects(layer, looked_at(layer), None)


def test_images_without_anything_to_see_are_named_before_fine_tuning(viewer):
    image = viewer.add_image(np.full((3, 8, 8), np.nan), name="scan")
    remarks = Remarks()
    assert remarks.is_stale(image) and remarks.of(image) == ""
    remarks.saw(run(layers_job([], [(image, image.data)])).remarks)
    assert not remarks.is_stale(image) and "⚠ scan: No value of the image" in remarks.of(image)
    image.data = np.random.default_rng(0).random((3, 8, 8))
    assert remarks.is_stale(image)
    remarks.saw(run(layers_job([], [(image, image.data)])).remarks)
    assert remarks.of(image) == ""


def test_another_array_does_not_inherit_what_was_said_of_the_slices(viewer):
    layer = viewer.add_labels(np.zeros((5, 16, 16), np.uint8))
    say_reviewed(layer, [1, 2])
    assert tuple(ledger_of(layer).reviewed()) == (1, 2)
    layer.data = np.zeros((9, 24, 24), np.uint8)
    assert not ledger_of(layer).reviewed() and not record_of(layer).reviewed
