"""Volumes in memory, stacked channels, and what loads when."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from unet_med.errors import GeometryError, VolumeError
from unet_med.geometry import Geometry
from unet_med.volumes import ArrayVolume, from_array, open_volume, stack_volumes, volume_ending

AFFINE = np.diag([1.0, 2, 3, 1])


@pytest.mark.parametrize("dtype", ["?", "u1", "<i2", ">i2", "i8", "f2", "f4", "f8"])
def test_arrays_are_read_as_float32_slabs(dtype):
    array = (np.random.default_rng(1).random((3, 4, 5)) * 100).astype(dtype)
    volume = from_array(array, AFFINE)
    assert volume.stored_dtype == array.dtype
    for axis in range(3):
        slab = volume.read(1, 3, axis=axis)
        assert slab.dtype == np.float32
        assert np.array_equal(slab[0], np.take(array, [1, 2], axis).astype(np.float32))


def test_reading_gives_a_copy():
    array = np.zeros((3, 4, 5), np.float32)
    slab = from_array(array, AFFINE).read(0, 5, axis=2)
    slab += 1
    assert not array.any()


def test_channels_come_last_in_arrays_and_first_in_slabs():
    array = np.arange(3 * 4 * 5 * 2).reshape(3, 4, 5, 2)
    volume = from_array(array, AFFINE)
    assert volume.n_channels == 2
    assert volume.geometry.shape == (3, 4, 5)
    assert np.array_equal(volume.read(2, 4, axis=1)[1], array[:, 2:4, :, 1])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 4)),
        np.zeros((1, 2, 3, 4, 5)),
        np.zeros((3, 4, 5), complex),
        np.full((2, 2, 2), "a"),
    ],
)
def test_arrays_that_are_no_volume_are_refused(array):
    with pytest.raises(VolumeError, match="array"):
        from_array(array, AFFINE)


def test_an_array_that_does_not_fit_its_grid_is_refused():
    with pytest.raises(
        GeometryError, match=r"array shape \(4, 3, 5\) is not the grid's \(3, 4, 5\)"
    ):
        ArrayVolume(np.zeros((1, 4, 3, 5)), Geometry((3, 4, 5), AFFINE))
    with pytest.raises(GeometryError, match="invertible"):
        from_array(np.zeros((3, 4, 5)), np.zeros((4, 4)))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_stacked_volumes_are_their_channels_in_order(write_nifti, axis):
    voxels = np.random.default_rng(3).integers(0, 99, (5, 6, 7, 2)).astype(np.int16)
    paths = [write_nifti("a.nii.gz"), write_nifti("b.nii", voxels=voxels)]
    members = [open_volume(path) for path in paths]
    stacked = stack_volumes(members)
    assert stacked.n_channels == 3
    assert stacked.path == paths[0]
    parts = [member.read(1, 4, axis=axis) for member in members]
    assert np.array_equal(stacked.read(1, 4, axis=axis), np.concatenate(parts))
    assert stack_volumes(members[:1]) is members[0]


def test_volumes_on_other_grids_do_not_stack():
    first = from_array(np.zeros((3, 4, 5)), AFFINE, name="t1.nii")
    other = from_array(np.zeros((3, 4, 5)), np.diag([1.0, 2, 3.5, 1]), name="t2.nii")
    with pytest.raises(
        GeometryError, match=r"t2\.nii is not on the grid of t1\.nii: spacing .* 3\) vs"
    ):
        stack_volumes([first, other])
    with pytest.raises(VolumeError, match="no channels"):
        stack_volumes([])


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("a.nii", ".nii"),
        ("a.b.NII.GZ", ".NII.GZ"),
        ("a.img", ".img"),
        (".nii", None),
        ("a.gz", None),
    ],
)
def test_volumes_are_known_by_their_ending(tmp_path, name, ending):
    assert volume_ending(tmp_path / name) == ending


@pytest.mark.parametrize("name", ["scan", "scan.txt", "folder/scan.nii", "scan.mha", "scan.mgz"])
def test_a_file_that_does_not_exist_is_said_not_to(tmp_path, name):
    with pytest.raises(VolumeError, match="does not exist"):
        open_volume(tmp_path / name)


def test_formats_load_when_needed_and_never_torch():
    code = (
        "import sys; import unet_med.volumes as v; import numpy;"
        "assert 'nibabel' not in sys.modules and 'SimpleITK' not in sys.modules;"
        "v.write_mask; assert 'nibabel' in sys.modules;"
        "assert not {'torch', 'monai', 'SimpleITK'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_is_not_there():
    import unet_med.volumes

    with pytest.raises(AttributeError, match="no attribute 'read_nifti'"):
        _ = unet_med.volumes.read_nifti
    assert all(hasattr(unet_med.volumes, name) for name in unet_med.volumes.__all__)
