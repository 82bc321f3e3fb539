import math
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_medseg.models import Locator, ModelCard
from napari_medseg.preprocess import Preprocess
from napari_medseg.record import Item, Record, UsedModel
from napari_medseg.segmentation.inference import Plan, Segmentation
from napari_medseg.segmentation.settings import BEYOND, OUTSIDE
from napari_medseg.volume import LabelClass, Volume
from napari_medseg.widgets.kit.controls import choice, fill, switch_off
from napari_medseg.widgets.segment.form import plan_text, result_text
from napari_medseg.widgets.segment.rows import card_tip

ROWS = [{"id": 1, "name": "cavity", "voxels": 1200, "volume_mm3": 4321.0}]


def found(axes, rows=ROWS, **report):
    shape = (2,) * len(axes)
    labels = Volume(np.zeros(shape, np.uint8), axes, classes=(LabelClass(1, "cavity", "#ff0000"),))
    record = Record("segment", outputs=(Item("labels", classes=tuple(rows)),), seconds=2.4, figures=report)
    return Segmentation(labels.made_by(record), None)


def test_plan_says_slices_batch_device_time_memory_and_warnings():
    text = plan_text(Plan(12, 4, "cpu", 75.0, 105.2, ("Pixels are 9 mm.",)))
    assert text == "12 slices, 4 at a time, on CPU: about 75 s, 105 MB of extra memory.\n⚠ Pixels are 9 mm."


def test_plan_without_a_known_time_leaves_it_out():
    assert plan_text(Plan(1, 32, "cuda", math.nan, 0.2, ())) == "1 slice on CUDA: 1 MB of extra memory."


def test_result_says_volumes():
    assert result_text(found("zyx")) == "Done in 2 s.\ncavity: 4.3 ml"


def test_result_of_a_time_series_is_the_mean_of_its_time_points():
    times = [ROWS[0] | {"time_points": 5}]
    text = result_text(found("tzyx", times))
    assert text == "Done in 2 s.\ncavity: 4.3 ml (mean of 5 time points)"


def test_result_counts_objects():
    assert result_text(found("yx", objects=0, slices=1)) == "Done in 2 s.\n0 objects."
    assert result_text(found("yx", objects=66, slices=1, pixels_per_object=98.6)).endswith(
        "66 objects, mean area 99 pixels."
    )
    known = found("yx", objects=1, slices=3, pixels_per_object=98.6, area_mm2_per_object=2e-4)
    assert result_text(known).endswith("1 object, mean area 200.0 um2, counted slice by slice.")


def test_entry_that_is_switched_off_says_why_and_the_others_stay(qtbot):
    box = choice("where")
    fill(box, [("CPU", "cpu"), ("CUDA", "cuda")], "cpu")
    switch_off(box, "cuda", "not found")
    assert box.currentData() == "cpu" and box.itemText(1) == "CUDA: not found"
    assert box.itemData(1, Qt.ItemDataRole.ToolTipRole) == "not found"
    assert [box.model().item(i).isEnabled() for i in range(2)] == [True, False]


def test_result_says_what_the_plan_did_not():
    result = found("zyx")
    record = replace(result.record, warnings=("Pixels are 9 mm.", BEYOND + "slice 1 of 9.", OUTSIDE + "it is CT."))
    result = replace(result, labels=result.labels.made_by(record))
    text = result_text(result, known=("Pixels are 9 mm.", OUTSIDE + "it is CT."))
    assert text.splitlines()[:2] == [f"⚠ {BEYOND}slice 1 of 9.", f"⚠ {OUTSIDE}it is CT."]


def test_a_model_says_in_the_list_what_happens_besides_its_network():
    locator = Locator("finder", (90.0, 80.0))
    card = ModelCard("a", "litenext", Preprocess(), (), task="cavity", locator=locator, keep="largest", temperature=2.0)
    lines = card_tip(card).splitlines()
    assert lines[:2] == ["a", "Cavity."] and lines[2].startswith("Looks at 90 x 80 mm about what finder finds")
    assert "less certain" in lines[3] and lines[4] == "Keeps the largest piece of each class in a volume."


@pytest.mark.parametrize(
    ("names", "note"),
    [
        (["a", "b"], "Agreement: Dice between the labels that a and b each give alone."),
        (["a", "b", "c"], "Agreement: Dice between the labels that a, b and c each give alone, mean over all pairs."),
    ],
)
def test_result_of_several_models_names_what_is_compared(names, note):
    result = found("zyx", agreement={"cavity": 0.834})
    record = replace(result.record, what="consensus", models=tuple(UsedModel(name, "", "litenext") for name in names))
    text = result_text(replace(result, labels=result.labels.made_by(record)))
    assert text.splitlines()[1:] == ["cavity: 4.3 ml, agreement 0.83 (Dice)", note]
