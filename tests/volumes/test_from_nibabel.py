"""nibabel images as volumes: what their files give, and what was changed in memory."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest

from unet_med.errors import VolumeError
from unet_med.volumes import from_nibabel, open_volume


def as_nibabel(path) -> np.ndarray:
    """All values (C, i, j, k) float32 as nibabel has them in float64."""
    array = nib.load(path).get_fdata(dtype=np.float64).astype(np.float32)
    while array.ndim < 4:
        array = array[..., np.newaxis]
    return np.moveaxis(array.reshape(*array.shape[:3], -1), 3, 0)


def check_every_slab(volume, expected):
    for axis in (2, 0, 1):
        size = expected.shape[axis + 1]
        for start, stop in itertools.combinations(range(size + 1), 2):
            slab = volume.read(start, stop, axis=axis)
            assert slab.dtype == np.float32
            assert np.array_equal(slab, np.take(expected, range(start, stop), axis + 1))


@pytest.mark.parametrize("loaded", ["lazily", "in memory"])
@pytest.mark.parametrize("shape", [(5, 6, 7), (5, 6, 7, 2), (5, 6), (5, 6, 7, 1, 2)])
def test_nibabel_images_give_what_their_files_give(write_nifti, loaded, shape):
    voxels = np.random.default_rng(2).integers(0, 9999, shape).astype(np.int16)
    path = write_nifti(voxels=voxels)
    image = nib.load(path)
    if loaded == "in memory":
        image = nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
    volume = from_nibabel(image)
    np.testing.assert_array_equal(volume.geometry.voxel_to_world, image.affine)
    assert volume.n_channels == open_volume(path).n_channels
    check_every_slab(volume, as_nibabel(path))


def test_nibabel_images_may_have_been_changed(write_nifti):
    image = nib.load(write_nifti(scl_slope=2.0))
    moved = np.diag([3.0, 3, 3, 1])
    image.set_sform(moved, 1)
    image.set_data_dtype(np.uint8)
    volume = from_nibabel(image)
    np.testing.assert_array_equal(volume.geometry.voxel_to_world, moved)
    assert np.array_equal(volume.read(0, 7, axis=2)[0], image.get_fdata(dtype=np.float32))


def test_other_images_of_nibabel_are_read_too(tmp_path):
    voxels = np.random.default_rng(1).integers(0, 99, (4, 5, 6)).astype(np.int16)
    affine = np.diag([-1.0, 1.5, 2, 1])
    nib.save(nib.MGHImage(voxels, affine), tmp_path / "scan.mgz")
    volume = from_nibabel(nib.load(tmp_path / "scan.mgz"))
    assert volume.nifti_header is None
    np.testing.assert_allclose(volume.geometry.voxel_to_world, affine)
    assert np.array_equal(volume.read(0, 6, axis=2)[0], voxels)


def test_images_without_a_place_or_with_complex_voxels_are_refused():
    array = np.zeros((4, 5, 6), np.float32)
    with pytest.raises(VolumeError, match="no affine"):
        from_nibabel(nib.Nifti1Image(array, None))
    with pytest.raises(VolumeError, match="complex64"):
        from_nibabel(nib.Nifti1Image(array.astype(np.complex64), np.eye(4)))
