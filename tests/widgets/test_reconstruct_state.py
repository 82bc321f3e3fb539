"""What is possible in the Reconstruct dock and on its Compare page, and why the rest is not."""

from dataclasses import fields, replace

import pytest

from napari_medseg.recon.sampling import KINDS
from napari_medseg.widgets.kit.state import Control
from napari_medseg.widgets.reconstruct.state import (
    FILE,
    GIVEN,
    MAPS,
    OWN,
    CompareFacts,
    Facts,
    compare_state,
    state,
    unfit_reference,
    unfit_result,
    why_no_comparison,
    why_not,
)

READY = Facts(has_result=True)
COMPARABLE = CompareFacts((3, 32, 48), has_reference=True, has_results=True, has_figures=True)


def controls(found):
    """Everything that is on or off."""
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    return {name: value for name, value in values.items() if isinstance(value, Control)}


def off(found):
    """Names of the visible controls that are off."""
    return {name for name, control in controls(found).items() if control.why_not and control.visible}


def test_everything_is_possible_with_data_a_mask_and_a_result():
    found = state(READY)
    assert not off(found) and not found.hint and not why_not(READY)
    assert all(control.tooltip for control in controls(found).values())
    assert not found.cancel.visible and not found.bar


@pytest.mark.parametrize("shows", list(MAPS))
def test_every_map_says_what_it_is_and_why_it_cannot_be_had(shows):
    facts = replace(READY, shows=shows)
    assert state(facts).probe.tooltip and not state(facts).probe.why_not
    assert state(replace(facts, view_problem="No phase.")).probe.why_not == "No phase."
    together = state(replace(facts, together=True, has_frames=True))
    assert bool(together.probe.why_not) == (shows in ("sensitivity", "noise", "g-factor"))
    assert together.method.why_not and together.strength and together.together.visible


def test_frames_together_say_why_not():
    found = state(replace(READY, has_frames=True, together_problem="One coil."))
    assert found.together.why_not == "One coil." and not state(READY).together.visible


# ---- data and mask ----


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"data_problem": "No data.", "mask_problem": "No mask.", "has_kspace": False}, "No data."),
        ({"mask_problem": "No mask.", "has_kspace": False}, "No mask."),
        ({"has_kspace": False}, "the data are being read."),
    ],
)
def test_without_data_or_mask_nothing_can_be_reconstructed(facts, reason):
    facts = replace(READY, has_routers=True, **facts)
    found = state(facts)
    assert why_not(facts) == reason
    same = (
        found.run,
        found.preview,
        found.routers,
        found.probe,
        found.suggest,
        found.view,
        found.save_mask,
        found.copy,
    )
    assert {control.why_not for control in same} == {reason}
    assert found.hint == f"Run, Preview, Copy: {reason}" and not found.segment.why_not


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"data_problem": "No data.", "has_scan": False}, "No data."),
        ({"has_scan": False}, "the data are being read."),
        ({"mask_problem": "The seed is 'x'.", "has_kspace": False}, ""),
    ],
)
def test_another_mask_can_be_chosen_as_soon_as_there_are_data(facts, reason):
    found = state(replace(READY, **facts))
    assert found.mask_kind.why_not == found.load.why_not == reason


def test_there_is_no_mask_to_save_where_everything_is_measured():
    found = state(replace(READY, undersampled=False))
    assert off(found) == {"save_mask"} and found.save_mask.why_not == "everything is measured, there is no mask."


@pytest.mark.parametrize("mask", [OWN, GIVEN, *KINDS])
def test_rules_are_asked_for_where_a_mask_is_drawn(mask):
    found = state(replace(READY, mask=mask))
    shown = {found.acceleration, found.centre, found.seed, found.direction}
    assert shown == {mask in KINDS}


@pytest.mark.parametrize(
    ("suffix", "axes", "conjugate"),
    [(".npy", True, False), (".cfl", True, False), (".ra", True, False), (".h5", False, True), ("", False, False)],
)
def test_file_is_asked_for_what_it_may_not_tell(suffix, axes, conjugate):
    found = state(replace(READY, source=FILE, suffix=suffix))
    assert found.path and found.axes == axes and found.conjugate == conjugate
    assert not state(replace(READY, suffix=suffix)).path


# ---- method ----


def test_only_networks_have_a_card_a_device_and_routers():
    plain, learned, routed = (
        state(facts) for facts in (READY, replace(READY, learned=True), replace(READY, learned=True, has_routers=True))
    )
    assert not plain.card and not plain.device and not plain.routers.visible
    assert learned.card and learned.device and not learned.routers.visible
    assert routed.routers.visible


@pytest.mark.parametrize(("consistency", "weight"), [("none", False), ("soft", True), ("hard", False)])
def test_weight_belongs_to_soft_consistency(consistency, weight):
    assert state(replace(READY, consistency=consistency)).weight == weight


@pytest.mark.parametrize("has_maps", [True, False])
def test_consistency_with_coil_maps_is_called_what_it_is(has_maps):
    text = state(replace(READY, has_maps=has_maps)).consistency.tooltip
    assert ("does not put them back exactly" in text) == has_maps


def test_partial_fourier_is_asked_for_where_one_side_was_measured():
    assert not state(READY).partial and state(replace(READY, is_partial=True)).partial


def test_warnings_have_a_line_each():
    assert state(READY).warnings == ""
    assert state(replace(READY, warnings=("Simulated.", "Estimated."))).warnings == "⚠ Simulated.\n⚠ Estimated."


def test_maps_of_left_out_lines_need_lines_to_leave_out():
    found = state(replace(READY, thin_problem="The scan is fully sampled."))
    assert off(found) == {"probe", "suggest"} and found.probe.why_not == found.suggest.why_not
    assert found.probe.why_not == "The scan is fully sampled." and not found.hint
    noise = state(replace(READY, thin_problem="The scan is fully sampled.", shows="noise"))
    assert off(noise) == {"suggest"} and noise.probe.tooltip != found.probe.tooltip


# ---- jobs ----


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        ("run", "a run is under way."),
        ("probe", "a map is being made."),
        ("hint", "the methods are being compared."),
    ],
)
def test_job_that_is_counted_leaves_cancel_view_mask_and_copy(job, reason):
    found = state(replace(READY, job=job, has_begun=job == "run", has_routers=True))
    assert off(found) == {"run", "preview", "routers", "probe", "suggest"}
    assert found.run.why_not == found.preview.why_not == found.probe.why_not == reason
    assert found.bar and found.cancel.visible and not found.cancel.why_not
    assert found.hint == f"Run, Preview: {reason}"


@pytest.mark.parametrize("job", ["open", "mask", "picture", "preview", "routers", "compare", "view"])
def test_quick_jobs_keep_nobody_from_running(job):
    found = state(replace(READY, job=job))
    assert not off(found) and not found.cancel.visible and not found.bar


def test_run_that_was_cancelled_is_stopping():
    found = state(replace(READY, job="run", has_begun=False))
    assert found.cancel.visible and found.cancel.why_not == "Stopping."


# ---- what comes after ----


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"mask": GIVEN, "has_file": False}, "save the mask first, the command needs its file."),
        ({"mask": GIVEN, "has_mask_file": True}, ""),
        ({"has_file": False}, "the image was not opened from a file."),
    ],
)
def test_command_needs_files(facts, reason):
    found = state(replace(READY, **facts))
    assert found.copy.why_not == reason and found.hint == (f"Copy: {reason}" if reason else "")


def test_segment_needs_a_result():
    found = state(Facts())
    assert found.segment.why_not == "there is no result yet; press Run." and found.hint.startswith("Segment: ")


# ---- compare ----


def test_results_and_reference_can_be_compared():
    found = compare_state(COMPARABLE)
    assert not why_no_comparison(COMPARABLE) and not off(found) and found.times


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"shape": None, "has_reference": False}, "open data first."),
        ({"has_reference": False, "has_results": False}, "there is no reference"),
        ({"has_results": False}, "tick a result; Run makes them."),
    ],
)
def test_what_is_missing_for_a_comparison_is_said(facts, words):
    facts = replace(COMPARABLE, has_figures=False, **facts)
    found = compare_state(facts)
    assert why_no_comparison(facts).startswith(words)
    assert found.show_view.why_not == found.export.why_not == why_no_comparison(facts)


def test_without_a_reference_shape_residual_and_stability_are_named():
    text = why_no_comparison(replace(COMPARABLE, has_reference=False))
    assert "(3, 32, 48)" in text and "data residual" in text and "Sensitivity" in text


def test_residuals_can_be_exported_without_a_reference():
    assert not compare_state(replace(COMPARABLE, has_reference=False)).export.why_not


def test_figures_have_to_be_there_to_be_exported():
    found = compare_state(replace(COMPARABLE, has_figures=False))
    assert found.export.why_not == "there are no figures yet." and not found.show_view.why_not


def test_maps_of_similarity_are_never_intensified():
    assert not compare_state(replace(COMPARABLE, view="ssim")).times
    assert compare_state(replace(COMPARABLE, view="difference")).times


def test_layers_of_another_shape_and_partial_ones_are_refused():
    assert unfit_reference((2, 2), (2, 2)) == "" and "(2, 3), expected (2, 2)" in unfit_reference((2, 3), (2, 2))
    assert unfit_result((2, 2), (2, 2), partial=False) == ""
    assert "some slices are missing" in unfit_result((2, 2), (2, 2), partial=True)
    assert "the scan gives (2, 2). Crop it first" in unfit_result((2, 3), (2, 2), partial=True)
