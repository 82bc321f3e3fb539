"""What the View dock says of its controls, without a window."""

from napari_medseg.widgets.view.state import Facts, state


def test_without_an_image_everything_says_why():
    found = state(Facts(place="No image is open.", why_no_place="No image is open.", why_no_grey="no image is open."))
    for name in ("axial", "coronal", "sagittal", "soft_tissue", "lung", "bone", "brain", "liver", "percentiles", "bar"):
        assert getattr(found, name).why_not, name
    assert not found.stored.why_not and not found.letters.why_not
    assert found.hint.splitlines() == ["CT windows: no image is open."], "what holds for all planes is said once"


def test_planes_and_windows_have_reasons_of_their_own():
    found = state(Facts("'a': axial.", why_no_plane={"coronal": "one slice."}, why_no_ct="it is MR.", has_bar=True))
    assert not found.axial.why_not and found.coronal.why_not == "one slice." and not found.sagittal.why_not
    assert found.brain.why_not == "it is MR." and not found.percentiles.why_not and not found.bar.why_not
    assert found.hint.splitlines() == ["Coronal: one slice.", "CT windows: it is MR."]
    assert "centre 40, width 80 HU, that is black at 0 and white at 80" in found.brain.tooltip
    assert "the patient's right on the left" in found.axial.tooltip


def test_a_remark_follows_the_plane():
    assert state(Facts(place="'a': axial.", remark="Mirrored.")).place == "'a': axial.\nMirrored."
