"""Frames of a cine reconstructed together: better than alone where neighbours measured what a frame lacks."""

from dataclasses import replace

import numpy as np
import pytest

from napari_medseg.errors import SettingsError, VolumeError
from napari_medseg.kspace import KSpace
from napari_medseg.progress import run
from napari_medseg.recon.coil_maps import HeldMaps
from napari_medseg.recon.frames import kt_sense, kt_sense_steps
from napari_medseg.recon.methods import lacks_centre, prepare
from napari_medseg.recon.reconstruct import reconstruct, reconstruct_job
from napari_medseg.recon.sense import sense_tv
from napari_medseg.recon.settings import ReconSettings
from napari_medseg.recon.transforms import fft2c, rss

FRAMES, SHAPE, COILS = 8, (48, 40), 4


def beating(frames=FRAMES):
    """Maps (coil, y, x), and images (t, y, x) of a chest at rest with a heart whose size changes over one cycle."""
    rows, columns = np.indices(SHAPE) / np.array(SHAPE)[:, None, None] * 2 - 1
    turns = 2 * np.pi * np.arange(COILS)[:, None, None] / COILS
    maps = np.exp(-np.hypot(rows - np.sin(turns), columns - np.cos(turns)) + 1j * (turns + rows))
    # texture, as tissue has it: a flat chest needs no other frames
    texture = 1 + 0.3 * np.random.default_rng(0).normal(size=SHAPE)
    chest = 0.4 * texture * (np.hypot(rows, columns) < 0.85)
    sizes = 0.25 + 0.08 * np.cos(2 * np.pi * np.arange(frames) / frames)
    images = [chest + 0.5 * (np.hypot(rows - 0.1, columns + 0.1) < size) for size in sizes]
    return maps / rss(maps, 0), np.stack(images) * np.exp(1j * columns)


def masks_of(every, frames=FRAMES):
    masks = np.zeros((frames, SHAPE[1]), bool)
    for frame in range(frames):
        masks[frame, frame % every :: every] = True
    masks[:, SHAPE[1] // 2 - 3 : SHAPE[1] // 2 + 4] = True
    return masks


def test_frames_together_are_better_than_each_alone():
    maps, images = beating()
    kspace, masks = fft2c(maps * images[:, None]), masks_of(8)
    together = kt_sense(kspace, masks, maps)
    alone = np.stack([sense_tv(frame, mask, maps, 0.001) for frame, mask in zip(kspace, masks, strict=True)])
    error, before = (np.linalg.norm(found - images) for found in (together, alone))
    assert error < 0.7 * before and error < 0.12 * np.linalg.norm(images)


def test_full_frames_without_strength_are_the_images():
    maps, images = beating()
    found = kt_sense(fft2c(maps * images[:, None]), np.ones((FRAMES, SHAPE[1]), bool), maps, 0.0, 3)
    np.testing.assert_allclose(found, images, atol=1e-5)


def test_units_and_what_was_not_measured_do_not_matter():
    maps, images = beating()
    kspace, masks = fft2c(maps * images[:, None]), masks_of(4)
    expected = kt_sense(kspace, masks, maps, iterations=5)
    tiny = kt_sense(kspace * 1e-6, masks, maps, iterations=5)
    np.testing.assert_allclose(tiny * 1e6, expected, atol=1e-4)
    hidden = kt_sense(np.where(masks[:, None, None], kspace, 1e6), masks, maps, iterations=5)
    np.testing.assert_allclose(hidden, expected, atol=1e-6)


def test_iterations_are_places_to_cancel_and_bad_input_is_refused():
    maps, images = beating()
    kspace, masks = fft2c(maps * images[:, None]), masks_of(4)
    assert [(step.done, step.total) for step in kt_sense_steps(kspace, masks, maps, iterations=2)] == [(1, 2), (2, 2)]
    with pytest.raises(VolumeError, match="a mask for each frame"):
        kt_sense(kspace, masks[1:], maps)
    with pytest.raises(SettingsError, match="strength"):
        kt_sense(kspace, masks, maps, -1)


def cine(depth=2):
    """k-space of frames, all slices of the first one first; every slice has the same images, in other strength."""
    maps, images = beating()
    kspace = fft2c(maps * images[:, None])
    masks = masks_of(8)
    data = np.stack([(1 + z) * np.where(masks[t], kspace[t], 0) for t in range(FRAMES) for z in range(depth)])
    mask = np.repeat(masks, depth, 0)[:, None]
    return KSpace(data.astype(np.complex64), mask=mask, mask_origin="file", frames=FRAMES), images


def test_a_run_keeps_the_order_of_frames_and_slices():
    kspace, images = cine()
    found = reconstruct(kspace, together=True)
    assert found.image.axes == "tzyx" and found.record.figures["used"]["method"] == "k-t SENSE"
    truth = np.abs(images)[:, None] * np.array([1, 2])[:, None, None]
    assert np.linalg.norm(found.image.data - truth) < 0.15 * np.linalg.norm(truth)
    alone = reconstruct(kspace, "sense-tv", strength=0.001)
    assert np.linalg.norm(found.image.data - truth) < np.linalg.norm(alone.image.data - truth)


def test_what_cannot_be_shared_is_said():
    kspace, _ = cine()
    with pytest.raises(SettingsError, match="two or more"):
        reconstruct(KSpace(kspace.data[:1], mask=kspace.mask_of(0)), together=True)
    with pytest.raises(SettingsError, match="same mask"):
        reconstruct(KSpace(kspace.data, mask=kspace.mask_of(0), frames=FRAMES), together=True)


def test_frames_without_a_centre_have_the_maps_of_the_others():
    kspace, _ = cine()
    masks = np.array(kspace.mask)
    masks[2:, 0, SHAPE[1] // 2] = False  # all frames but the first one have lost their centre
    part = replace(kspace, mask=masks)
    assert not lacks_centre(part)
    found = reconstruct(part, "sense-tv", strength=0.001)
    # the maps of the first frame fit the others as well
    held = HeldMaps()
    held.hold(part, 0)
    steps = prepare(part, ReconSettings("sense-tv", strength=0.001), None, held)
    expected = run(steps(np.where(part.mask_of(6), part.slice(6), 0), part.mask_of(6))).magnitude
    difference = found.image.data[3, 0] - expected  # two slices a frame
    assert np.linalg.norm(difference) < 0.1 * np.linalg.norm(expected)
    assert "has 0 rows or columns" in lacks_centre(replace(part, frames=1))


def test_frames_that_have_a_centre_together_have_maps():
    kspace, _ = cine(depth=1)
    every = np.stack([np.arange(SHAPE[1]) % 4 == frame % 4 for frame in range(FRAMES)])[:, None]
    maps, images = beating()
    data = np.where(every[:, None], fft2c(maps * images[:, None]), 0).astype(np.complex64)
    scan = replace(kspace, data=data, mask=every)
    assert not lacks_centre(scan)
    found, coil_by_coil = (reconstruct(scan, method, strength=0.001) for method in ("sense-tv", "tv"))
    error, before = (np.linalg.norm(result.image.data[:, 0] - np.abs(images)) for result in (found, coil_by_coil))
    assert error < 0.6 * before


def test_frames_of_partial_fourier_are_completed_where_that_is_asked_and_otherwise_it_is_said():
    maps, images = beating()
    left = np.arange(SHAPE[1]) >= 12
    whole = fft2c(maps * images[:, None])
    mask = (masks_of(2) & left)[:, None]
    data = np.where(mask[:, :, None], whole, 0).astype(np.complex64)
    scan = KSpace(data, mask=mask, mask_origin="file", frames=FRAMES, acquired=(12, SHAPE[1]))
    plain = reconstruct(scan, together=True)
    assert any("leave partial Fourier" in text for text in plain.record.warnings)
    assert plain.record.figures["used"]["partial"] == "none"
    mended = reconstruct(scan, together=True, partial="pocs")
    assert mended.record.figures["used"]["partial"] == "pocs" and not mended.record.warnings
    errors = [np.linalg.norm(found.image.data[:, 0] - np.abs(images)) for found in (plain, mended)]
    assert errors[1] < errors[0]


def test_one_slice_of_a_cine_needs_the_other_frames_and_alone_is_returned():
    kspace, _ = cine()
    every = reconstruct(kspace, together=True)
    (only,) = run(reconstruct_job(kspace, ReconSettings(together=True), indices=[5])).image.data
    np.testing.assert_allclose(only, every.image.data.reshape(-1, *SHAPE)[5], rtol=1e-5)
