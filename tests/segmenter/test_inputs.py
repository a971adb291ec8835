"""What comes in besides files: a channel is taken of it, and other compressions are read."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the package's own habit

from unet_med.errors import InputError, VolumeError
from unet_med.segmenter.inputs import as_volume
from unet_med.volumes import ReadOptions, from_nibabel

AFFINE = np.array([[0, 0, 3.0, -20], [-0.8, 0, 0, 30], [0, 0.9, 0, -10], [0, 0, 0, 1]])
FRAMES = np.random.default_rng(0).integers(0, 999, (7, 6, 5, 3)).astype(np.int16)


def unpacked(tmp_path):
    nib.save(nib.Nifti1Image(FRAMES, AFFINE), tmp_path / "cine.nii.gz")
    return nib.load(tmp_path / "cine.nii.gz")


SOURCES = {
    "array": lambda _: (FRAMES, AFFINE),
    "nibabel in memory": lambda _: nib.Nifti1Image(FRAMES, AFFINE),
    "nibabel lazily": unpacked,
    "path": lambda tmp_path: unpacked(tmp_path).get_filename(),
    "SimpleITK": lambda _: sitk.Compose(
        [sitk.GetImageFromArray(FRAMES[..., n].T) for n in range(3)]
    ),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_channel_is_taken_of_every_kind_of_source(tmp_path, kind):
    """Or another frame than the one asked for would be segmented."""
    source = SOURCES[kind](tmp_path)
    every, one = (as_volume(source, channel, ReadOptions()) for channel in (None, 2))
    assert (every.n_channels, one.n_channels) == (3, 1)
    for axis in range(3):
        taken = np.take(FRAMES[..., 2], [1, 2, 3], axis).astype(np.float32)
        np.testing.assert_array_equal(one.read(1, 4, axis=axis)[0], taken)
    np.testing.assert_array_equal(one.geometry.voxel_to_world, every.geometry.voxel_to_world)
    assert (one.name, one.nifti_header) == (every.name, every.nifti_header)
    for channel in (3, -1):
        with pytest.raises(VolumeError, match=f"no channel {channel}: it has 3"):
            as_volume(source, channel, ReadOptions())


def test_scans_in_a_tuple_are_no_array_and_affine(tmp_path):
    image = unpacked(tmp_path)
    itk = sitk.GetImageFromArray(FRAMES[..., 0])
    for part in (image.get_filename(), image, itk):
        with pytest.raises(InputError, match="give channels as a list"):
            as_volume((part, part), None, ReadOptions())


@pytest.mark.parametrize("ending", [".nii.bz2", ".nii.gz", ".nii", ".img.gz", ".img"])
def test_every_compression_that_nibabel_reads(tmp_path, ending):
    """A file of noise is as long packed as unpacked, so its bytes could pass for voxels."""
    path = tmp_path / f"scan{ending}"
    nib.save(nib.Nifti1Image(FRAMES[..., 0], AFFINE), path)
    volume = from_nibabel(nib.load(path))
    np.testing.assert_array_equal(volume.read(0, 5, axis=2)[0], FRAMES[..., 0])
    np.testing.assert_allclose(volume.geometry.voxel_to_world, AFFINE, rtol=1e-6)
