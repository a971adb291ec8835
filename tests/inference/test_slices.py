"""Statistics over a scan: several planes read at once, counted plane by plane."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from unet_med.errors import VolumeError
from unet_med.inference import slices, volume_statistics
from unet_med.preprocessing import IntensityStatistics
from unet_med.volumes import open_volume


def saved(path, voxels):
    nib.save(nib.Nifti1Image(voxels, np.diag([-0.7, 0.9, 3.0, 1.0])), path)
    return path


@pytest.mark.parametrize("pixels", [1, 5 * 7 * 2, 1 << 18])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_statistics_are_those_of_every_plane_by_itself(tmp_path, monkeypatch, pixels, dtype):
    voxels = np.random.default_rng(0).normal(0, 300, (5, 7, 9)).astype(dtype)
    expected = IntensityStatistics()
    for index in range(9):
        expected.add(voxels[:, :, index].astype(np.float32))
    monkeypatch.setattr(slices, "PIXELS_PER_SLAB", pixels)
    (found,) = volume_statistics(open_volume(saved(tmp_path / "a.nii.gz", voxels)))
    for region in ("all", "nonzero", "above_mean"):
        assert found.region(region) == expected.region(region)
    assert found.percentile(30) == expected.percentile(30)


def test_a_scan_that_ends_early_is_refused(tmp_path):
    voxels = np.random.default_rng(0).integers(-500, 500, (60, 70, 90)).astype(np.int16)
    path = saved(tmp_path / "a.nii", voxels)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(VolumeError):
        volume_statistics(open_volume(path))
