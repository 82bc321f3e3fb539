"""Views of a run: about the objects of a case, empty ones as often as asked for, targets as the settings say."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_medseg import io
from napari_medseg.errors import SettingsError
from napari_medseg.preprocess import Crop, Preprocess, as_channels, neighbours
from napari_medseg.training.augment import NOTHING, Augment
from napari_medseg.training.data.dataset import Sample
from napari_medseg.training.data.sources import Source
from napari_medseg.training.settings import Phase
from napari_medseg.training.views import Views, centres
from napari_medseg.volume import Volume


def sample(case, corner=None, size=40):
    labels = torch.zeros(size, size, dtype=torch.uint8)
    if corner:
        y, x = corner
        labels[y : y + 4, x : x + 4] = 1
    return Sample(labels.float().repeat(3, 1, 1), labels, case)


def test_the_centre_of_a_case_is_the_mean_over_its_slices():
    slices = [sample("a", (4, 20)), sample("a", (10, 24)), sample("a"), sample("b", (30, 2)), sample("a", (0, 0), 20)]
    found = centres(slices)
    assert found == {
        ("a", (40, 40)): pytest.approx((8.5, 23.5)),
        ("b", (40, 40)): pytest.approx((31.5, 3.5)),
        ("a", (20, 20)): pytest.approx((1.5, 1.5)),
    }


@pytest.mark.parametrize("size", [16, 17])
def test_a_view_lies_about_its_place_up_to_the_jitter(size):
    image = torch.zeros(3, 60, 60)
    image[:, 30, 20] = 1
    augment = Augment(replace(NOTHING, jitter=5), torch.Generator().manual_seed(0))
    places = []
    for _ in range(30):
        view, target = augment(image, image[:1], (size, size), about=(30.0, 20.0))
        torch.testing.assert_close(view[:1], target, rtol=0, atol=1e-5)
        assert view.max() == pytest.approx(1, abs=1e-4)  # whole pixels: nothing is interpolated
        places.append(np.unravel_index(int(view[0].argmax()), (size, size)))
    away = np.array(places) - size / 2
    assert np.abs(away).max() <= 6 and np.ptp(away, axis=0).min() >= 7


def test_a_view_without_changes_is_the_crop_about_its_place():
    image = torch.rand(3, 50, 44, generator=torch.Generator().manual_seed(1))
    augment = Augment(NOTHING, torch.Generator())
    view, _ = augment(image, image, (16, 16), about=(20.5, 19.5))
    torch.testing.assert_close(view, image[:, 13:29, 12:28], rtol=0, atol=1e-5)
    moved, _ = augment(image, image, (16, 16), about=(3.0, 43.0))
    torch.testing.assert_close(moved, image[:, :16, 28:], rtol=0, atol=1e-5)


def test_empty_views_are_drawn_as_often_as_asked_for(data, settings, discs):
    image, _ = discs(2, seed=7)
    np.savez(data / "empty.npz", image=image // 4)
    chosen = settings(
        empty=(Source("empty.npz", label=""),), empty_share=0.25, phases=(Phase(1.0, 32, 8),), augment=NOTHING, steps=40
    )
    views = Views(chosen, data, context=False)
    held = [views.batch(chosen, step, NOTHING)[1][:, 0].flatten(1).any(1) for step in range(25)]
    assert torch.cat(held).float().mean().item() == pytest.approx(0.75, abs=0.08)
    with pytest.raises(SettingsError, match="empty_share"):
        settings(empty_share=0.25)


SPECS = {
    "whole, padded with zeros": Preprocess(spacing=1.0, smallest=(48, 48), padding="zero"),
    "whole, mirrored": Preprocess(spacing=1.5, smallest=(32, 32)),
    "whole, edges": Preprocess(spacing=1.0, smallest=(48, 48), padding="edge"),
    "neighbours as channels": Preprocess(spacing=1.0, smallest=(48, 48), padding="zero", neighbours="z"),
    "crop": Preprocess(spacing=0.8),
    "crop, padded": Preprocess(spacing=0.8, padding="zero"),
}


@pytest.mark.parametrize("name", SPECS)
def test_a_view_without_changes_is_what_inference_shows_the_network(name, settings, tmp_path):
    """Tensor for tensor, from the same file."""
    rng = np.random.default_rng(0)
    data = rng.integers(0, 4000, (3, 35, 41)).astype(np.int16)
    labels = np.zeros(data.shape, np.uint8)
    labels[:, 20:29, 8:17] = 1
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    for part, array in (("images", data), ("labels", labels)):
        (tmp_path / part).mkdir()
        io.write(Volume(array, "zyx", affine), tmp_path / part / "a.nii.gz")
    spec, about = SPECS[name], name.startswith("crop")
    size = 16 if about else spec.smallest[0]
    extent = (12.8, 12.8 if name == "crop" else 9.0)
    chosen = settings(
        train=(Source("."),),
        preprocess=spec,
        phases=(Phase(1.0, size, 1),),
        about_objects=about,
        augment=NOTHING,
        card={"locator": {"model": "finder", "crop_mm": extent}} if about else {},
    )
    volume = io.read(tmp_path / "images" / "a.nii.gz")
    slices = [torch.from_numpy(spec.normalise(plane)) for plane in np.asarray(volume.data)]
    if spec.neighbours:
        trios = [(*neighbours(index, 3), index) for index in range(3)]
        slices = [as_channels(slices[before], slices[index], slices[after]) for before, after, index in trios]
    crop = Crop(extent, ((24.0, 12.0),) * 3) if about else None
    tensor, _ = spec.fit(torch.stack(slices), volume.spacing[1:], crop)
    views = Views(chosen, tmp_path, context=False)
    found = torch.cat([views.batch(chosen, step, NOTHING)[0] for step in range(3)])
    apart = (found[:, None] - tensor[None]).abs().amax((2, 3, 4))
    assert apart.min(0).values.max() < 1e-4 and apart.min(1).values.max() < 1e-4  # in another order
    if about:
        larger = replace(chosen, phases=(Phase(1.0, 32, 1),))
        with pytest.raises(SettingsError, match=r"views of 32 x 32 pixels, .* shown 16 x 16"):
            views.batch(larger, 0, NOTHING)
