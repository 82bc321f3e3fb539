"""What the Reconstruct dock makes of files and image layers, and what it says of them; without a window."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Image

from napari_medseg.errors import MedsegError
from napari_medseg.progress import run
from napari_medseg.widgets.kit.jobs import Queue
from napari_medseg.widgets.kit.layer_volumes import to_volume
from napari_medseg.widgets.reconstruct.form import ReconstructForm
from napari_medseg.widgets.reconstruct.rows import MaskRows
from napari_medseg.widgets.reconstruct.scans import facts, layer_job, mask_job, mask_text, open_job

MRI = Path(__file__).parents[1] / "reference" / "mri"


def fastmri(kind):
    return MRI / "fastmri_like" / f"file17_{kind}.h5"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            fastmri("sc"),
            ("fastMRI", "3 slices", "1 coil", "120 x 92", "80 x 80", "CORPD_FBK", "Fully sampled", "reference"),
        ),
        (fastmri("mc"), ("2 slices", "4 coils", "Voxel 4 x 1.8 x 1.8 mm")),
        (fastmri("test"), ("mask in the file", "Undersampled")),
        (MRI / "formats" / "acq17.h5", ("ISMRMRD", "2 coils")),
        (MRI / "formats" / "ksp17.cfl", ("BART", "3 coils", "Voxel size unknown")),
    ],
)
def test_what_was_recognised_is_said(path, words):
    text = facts(run(open_job(path, "", conjugate=False)))
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (np.zeros((20, 24, 3), np.uint8), {"rgb": True}, "one channel"),
        (np.full((20, 24), np.nan, np.float32), {"contrast_limits": (0, 1)}, "not finite"),
        (np.ones((2, 3, 20, 24), np.float32), {}, "time point"),
    ],
    ids=["rgb", "nan", "time"],
)
def test_impossible_image_is_refused_with_a_sentence(data, options, words):
    with pytest.raises(MedsegError, match=words):
        run(layer_job(Image(data, name="scan", **options)))


def test_of_several_resolutions_the_finest_is_simulated():
    fine = np.pad(np.ones((12, 16), np.float32), 4)
    scan = run(layer_job(Image([fine, fine[::2, ::2]], multiscale=True, name="scan")))
    assert scan.shape[-2:] == fine.shape


def test_image_is_simulated_whole():
    image = Image(np.pad(np.ones((2, 20, 24), np.float32), ((0, 0), (4, 4), (4, 4))), name="scan", scale=(4, 1, 1))
    scan = run(layer_job(image))
    assert facts(scan).startswith("Simulated from an image: 2 slices, 1 coil, matrix 28 x 32")
    assert scan.name == "scan" and scan.shape == (2, 28, 32) and scan.axes == "zyx" and scan.empty.keys() == {"x", "y"}
    whole = run(mask_job(scan, None, None))
    assert mask_text(whole) == "All 32 columns measured"
    half = run(mask_job(scan, None, np.arange(32) % 2 == 0))
    assert mask_text(half) == "Acceleration 2.00x (16 of 32 columns), full centre of 1 column"


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@pytest.mark.parametrize("place", [{"scale": (4, 1, -1)}, {"rotate": (10, 20, 30)}, {"shear": (0, 0.1, 0.2)}])
def test_images_of_a_turned_layer_lie_on_it(place):
    image = Image(np.ones((2, 20, 24), np.float32), name="scan", **place)
    data, options = run(layer_job(image)).layer(np.zeros((2, 20, 24), np.float32), "result", {"simulated": True})
    made = Image(data, **options)
    np.testing.assert_allclose(made.data_to_world((1, 5, 6)), image.data_to_world((1, 5, 6)))
    np.testing.assert_allclose(to_volume(made, "zyx").affine, to_volume(image, "zyx").affine, atol=1e-12)


def test_no_mask_is_drawn_for_data_that_are_gone(qapp):
    form = ReconstructForm()
    queue = Queue(form, ("mask",), lambda: None)
    rows = MaskRows(form, queue, lambda: None)
    rows.of(SimpleNamespace(kspace=SimpleNamespace(mask=None)))
    assert queue.busy
    rows.of(None)
    assert not queue.busy
