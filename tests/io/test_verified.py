"""A save succeeds wholly or leaves the old file alone."""

import errno
import os
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import tifffile

from napari_medseg import io
from napari_medseg.errors import FileError
from napari_medseg.io import nifti

SUFFIXES = [".nii", ".nii.gz", ".tif", ".npy", ".npz"]
WRITERS = [(nib.Nifti1Image, "to_filename"), (tifffile, "imwrite"), (np, "save"), (np, "savez_compressed")]


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(params=SUFFIXES)
def old(request, tmp_path, volume):
    """A file saved before, which has to survive."""
    path = io.write(volume, tmp_path / f"a{request.param}")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    yield path
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_full_disk_keeps_the_old_file(old, volume, monkeypatch):
    for module, name in (
        (nib.Nifti1Image, "to_filename"),
        (tifffile, "imwrite"),
        (np, "save"),
        (np, "savez_compressed"),
    ):
        monkeypatch.setattr(module, name, full_disk)
    with pytest.raises(FileError, match=r"No space left on device\). The earlier file is unchanged"):
        io.write(replace(volume, data=volume.data + 1), old)


def test_disk_that_fills_while_writing_keeps_the_old_file(old, volume, monkeypatch):
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(FileError, match="No space left"):
        io.write(replace(volume, data=volume.data + 1), old)


def test_rename_that_fails_keeps_the_old_file(old, volume, monkeypatch):
    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(FileError, match="No space left"):
        io.write(replace(volume, data=volume.data + 1), old)


def test_write_protected_file_is_kept(old, volume):
    old.chmod(0o444)
    with pytest.raises(FileError, match="write-protected"):
        io.write(replace(volume, data=volume.data + 1), old)


def test_write_protected_folder_is_told(old, volume, monkeypatch):
    def refuse(path, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    for module, name in (
        (nib.Nifti1Image, "to_filename"),
        (tifffile, "imwrite"),
        (np, "save"),
        (np, "savez_compressed"),
    ):
        monkeypatch.setattr(module, name, refuse)
    with pytest.raises(FileError, match="Permission denied"):
        io.write(volume, old)


def test_first_save_that_fails_leaves_nothing(tmp_path, volume, monkeypatch):
    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(FileError, match="Nothing was written"):
        io.write(volume, tmp_path / "a.nii")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", ["voxel", "affine", "shape", "unreadable"])
def test_a_copy_that_differs_is_not_taken(tmp_path, volume, monkeypatch, change):
    path = io.write(volume, tmp_path / "a.nii")
    before, save = path.read_bytes(), nifti.save

    def wrong(given, target):
        if change == "voxel":
            given = replace(given, data=given.data + (np.arange(given.data.size) == 40).reshape(given.data.shape))
        elif change == "affine":
            given = replace(given, affine=given.affine + np.eye(4, k=3) * 2e-6)
        elif change == "shape":
            given = replace(given, data=given.data[:-1])
        save(given, target)
        if change == "unreadable":
            target.write_bytes(target.read_bytes()[:-9])

    monkeypatch.setattr(nifti, "save", wrong)
    with pytest.raises(FileError, match="The earlier file is unchanged"):
        io.write(volume, path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_interrupt_leaves_no_temporary_file(tmp_path, volume, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        io.write(volume, tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())


def test_links_and_rights_are_kept(tmp_path, volume):
    (tmp_path / "other").mkdir()
    real = io.write(volume, tmp_path / "other" / "a.nii")
    real.chmod(0o640)
    link = tmp_path / "a.nii"
    link.symlink_to(real)
    io.write(replace(volume, data=volume.data + 1), link)
    assert link.is_symlink() and real.stat().st_mode & 0o777 == 0o640
    np.testing.assert_array_equal(io.read(real).data, volume.data + 1)


def test_long_names_can_be_saved(tmp_path, volume):
    assert io.write(volume, tmp_path / ("a" * 240 + ".nii.gz")).is_file()


def test_side_file_that_cannot_be_renamed_leaves_the_array_without_it(tmp_path, labels, monkeypatch):
    io.write(replace(labels, data=labels.data + 1, classes=()), tmp_path / "a.npy")
    rename = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: full_disk() if str(b).endswith(".json") else rename(a, b))
    with pytest.raises(FileError, match=r"'a\.npy\.json' could not be saved .*'a\.npy' was saved without it"):
        io.write(labels, tmp_path / "a.npy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "a.npy.json"]
    back = io.read(tmp_path / "a.npy")
    np.testing.assert_array_equal(back.data, labels.data)
    assert np.array_equal(back.affine, np.eye(4)) and not back.classes, "the old notes are not those of this array"


def test_write_protected_side_file_keeps_both(tmp_path, labels):
    io.write(labels, tmp_path / "a.npy")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    (tmp_path / "a.npy.json").chmod(0o444)
    with pytest.raises(FileError, match=r"'a\.npy\.json' could not be saved \(the file is write-protected\)"):
        io.write(replace(labels, data=labels.data + 1), tmp_path / "a.npy")
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
