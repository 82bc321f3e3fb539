"""The controls of the Segment dock and where they stand; what they do is in `dock.py`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton

from ...quantities import area, duration, objects, over_time, rounded, volume
from ...segmentation.settings import OUTSIDE, compared
from ..kit.controls import Page, Paragraph, ShortBox, beside, check, choice, fill, progress_bar
from ..kit.copying import CopyButton
from ..kit.ticks import Ticks

if TYPE_CHECKING:
    from ...segmentation.inference import Plan, Segmentation


class SegmentForm(Page):
    """Controls as attributes; every one has a tooltip, and one that is off says why."""

    def __init__(self) -> None:
        super().__init__()
        self.image = choice("The image to segment.")
        self.axes = choice("What the axes of this image mean; its file does not say.")
        self.channel = choice("The channel to segment.")
        self.model = choice("The model to use. Its card says what it was made for.", ShortBox)
        self.model.setMinimumContentsLength(14)  # room for the names of the bundled ones
        self.card = QPushButton("Car&d")
        self.others = Ticks(
            "Compare with…",
            "Tick further models to run them as well and decide together; an image layer shows where they disagree.",
        )
        self.vote = choice(
            "How several models decide: by the mean of their probabilities, or by the label that most of them give "
            "(in a tie that of the model chosen first)."
        )
        votes = [("Together: mean probability", "probability"), ("Together: most labels", "labels")]
        fill(self.vote, votes, "probability")
        self.context = choice(
            "Direction of the neighbouring slices that the model also uses. None: each slice on its own."
        )
        self.device = choice("Where to compute. Automatic chooses the fastest one present.")
        self.uncertainty = check(
            "&Uncertainty layer", "Also make an image of where the model was undecided (0 to 255)."
        )
        self.split = check(
            "Split &touching objects",
            "Number objects one by one, slice by slice, and count them; else all of them are one label.",
        )
        self.split.setChecked(True)  # shown for models that are made for objects
        self.plan = Paragraph()
        self.advice = Paragraph()
        self.by_hand = QPushButton("Label by hand")
        self.preview = check(
            "Preview slice", "Label the slice in view as Run would, and the next ones while you scroll."
        )
        self.routers = QPushButton("Router map")
        self.run = QPushButton("&Run")
        self.cancel = QPushButton("Cancel")
        self.bar = progress_bar()
        self.status = Paragraph()
        self.save = QPushButton("S&ave labels…")
        self.copy = CopyButton("C&opy as command")
        self.hint = Paragraph()
        self._lay_out()

    def _lay_out(self) -> None:
        # rows without a title belong to the model; the underlined letters are not those of napari's menus
        choices = self.rows(
            ("&Image", self.image, self.image),
            ("A&xes", self.axes, self.axes),
            ("Cha&nnel", self.channel, self.channel),
            ("&Model", self.model, beside(self.model, self.card)),
            ("", self.others, self.others),
            ("", self.vote, self.vote),
            ("", self.context, self.context),
            ("D&evice", self.device, self.device),
        )
        self.stack(
            choices,
            self.uncertainty,
            self.split,
            self.plan,
            self.advice,
            self.by_hand,
            None,
            beside(self.preview, self.routers),
            beside(self.run, self.cancel),
            self.bar,
            self.status,
            None,
            beside(self.save, self.copy),
            self.hint,
        )


def plan_text(plan: Plan, models: int = 1) -> str:
    """What a run of so many models will take, and what to be warned of."""
    slices = "1 slice" if plan.slices == 1 else f"{plan.slices} slices, {min(plan.batch, plan.slices)} at a time,"
    if models > 1:
        slices = f"{models} models, {slices}"
    time = "" if math.isnan(plan.seconds) else f"about {duration(plan.seconds)}, "
    first = f"{slices} on {plan.device.upper()}: {time}{max(1, round(plan.memory_mb))} MB of extra memory."
    return "\n".join([first, *(f"⚠ {warning}" for warning in plan.warnings)])


def doubts_text(doubts: Sequence[str]) -> str:
    """The question before a run on an image that is unlike those of the training."""
    found = "\n".join(doubts)
    return f"{found}\n\nThe labels may mean nothing. Run anyway?"


def result_text(found: Segmentation, known: Sequence[str] = ()) -> str:
    """What a run found: one line per class, what is doubted, and what the plan did not say yet.

    `known` is what the form has warned of.
    """
    report = found.report
    warnings = report["warnings"]
    doubts = [f"⚠ {text}" for text in warnings if text.startswith(OUTSIDE) or text not in known]
    done = f"Done in {duration(report['seconds'])}."
    if "objects" in report:
        return "\n".join([*doubts, done, f"{objects(report)}."])
    lines = [*doubts, done]
    for row in report["classes"]:
        size = f"{row['voxels']} {'voxels' if 'z' in found.labels.axes else 'pixels'}"
        if "volume_mm3" in row:
            size = f"{volume(row['volume_mm3'], 1)}{over_time(row)}"
        elif "area_mm2" in row:
            size = f"{area(row['area_mm2'])}{over_time(row)}"
        dice = report.get("agreement", {}).get(row["name"])
        agreement = "" if dice is None else f", agreement {rounded(dice, 2)} (Dice)"
        lines.append(f"{row['name']}: {size}{agreement}")
    return "\n".join([*lines, *_agreement_note(found)])


def _agreement_note(found: Segmentation) -> list[str]:
    """What the agreement compares, where there is one; numbered objects show none."""
    names = [model.name for model in found.record.models]
    known = [dice for dice in found.report.get("agreement", {}).values() if dice is not None]
    return [f"Agreement: Dice {compared(names)}."] if known and len(names) > 1 else []
