"""Peak resident memory does not grow with the slices, and no way of reading changes a voxel."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.batch_helpers import labels_of, make_segmenter, write_bundle
from unet_med.recipe import Recipe
from unet_med.volumes import gzip_voxels, raw_voxels, reslice

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="the peak of a process is read from /proc"
)


def bundle_of(root, slice_axis):
    write_bundle(root)
    path = root / "configs" / "recipe.json"
    replace(Recipe.load(path), slice_axis=slice_axis).save(path)
    return root


def write_noise(path, shape):
    voxels = np.random.default_rng(0).integers(0, 500, shape, dtype=np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([1, 1, 3, 1])), path)
    return voxels.nbytes


def peak_of(*arguments):
    words = [sys.executable, "-m", "tests.peak_memory", *map(str, arguments)]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.parametrize(
    ("ending", "slice_axis", "on_disk"),
    [(".nii.gz", "axial", ()), (".nii", "axial", ()), (".nii", "coronal", ("on_disk",)),
     pytest.param(".nii.gz", "sagittal", ("on_disk",), marks=pytest.mark.slow)],
)  # fmt: skip
def test_memory_does_not_grow_with_the_slices(tmp_path, ending, slice_axis, on_disk):
    bundle = bundle_of(tmp_path / "bundle", slice_axis)
    peaks, sizes = [], []
    for n_slices in (20, 200):
        scan, mask = tmp_path / f"{n_slices}{ending}", tmp_path / f"mask{n_slices}.nii.gz"
        shape = (256, 256, n_slices) if slice_axis == "axial" else (256, n_slices, 256)
        sizes.append(write_noise(scan, shape))
        peaks.append(peak_of(bundle, scan, mask, *on_disk))
        assert len(np.unique(labels_of(mask))) == 3
    grown = peaks[1] - peaks[0]
    assert grown < 0.1 * peaks[0]
    assert grown < (sizes[1] - sizes[0]) / 2  # less than the labels of what was added


@pytest.mark.parametrize("slice_axis", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_temporary_files_equal_memory(tmp_path, monkeypatch, slice_axis, ending):
    segmenter = make_segmenter(bundle_of(tmp_path / "bundle", slice_axis))
    scan = tmp_path / f"scan{ending}"
    write_noise(scan, (21, 18, 13))
    expected = segmenter.segment(nib.load(scan)).labels
    segmenter.segment_to(scan, tmp_path / "kept.nii.gz")
    for module in (reslice, gzip_voxels):
        monkeypatch.setattr(module, "MAX_IN_MEMORY_BYTES", 0)
    for module in (reslice, raw_voxels):
        monkeypatch.setattr(module, "BLOCK_BYTES", 900)
        monkeypatch.setattr(module, "CHUNK_BYTES", 900)
    segmenter.segment_to(scan, tmp_path / "on_disk.nii.gz")
    np.testing.assert_array_equal(labels_of(tmp_path / "on_disk.nii.gz"), expected)
    kept, on_disk = ((tmp_path / f"{name}.nii.gz").read_bytes() for name in ("kept", "on_disk"))
    assert kept == on_disk
