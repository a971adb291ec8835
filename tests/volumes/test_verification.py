"""`verify_mask` names every difference, with both numbers, and nothing else."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from unet_med.errors import VolumeError
from unet_med.volumes import open_volume, verify_mask, write_mask


@pytest.fixture
def scan(write_nifti):
    return write_nifti("scan.nii.gz", qform_code=1)


@pytest.fixture
def mask(scan, tmp_path):
    labels = np.random.default_rng(1).choice([0, 1, 4], (5, 6, 7))
    write_mask(labels, tmp_path / "mask.nii", like=open_volume(scan), label_names={1: "x"})
    return tmp_path / "mask.nii"


def rewrite(mask, **fields):
    """Change header fields in place."""
    data = bytearray(mask.read_bytes())
    header = nib.Nifti1Header(bytes(data[:348]), check=False)
    for field, value in fields.items():
        header[field] = value
    data[:348] = header.binaryblock
    mask.write_bytes(data)


def test_a_written_mask_is_verified(scan, mask):
    assert verify_mask(scan, mask) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"xyzt_units": 2}, "header: xyzt_units 10 vs 2"),
        ({"qform_code": 0}, "header: qform_code 1 vs 0"),
        ({"sform_code": 2}, "header: sform_code 1 vs 2"),
        ({"quatern_b": 0.25}, "header: quatern_b 0.0 vs 0.25"),
        ({"qoffset_y": 0.25}, "header: qoffset_y 0.0 vs 0.25"),
    ],
)
def test_a_changed_field_is_named(scan, mask, fields, said):
    rewrite(mask, **fields)
    assert verify_mask(scan, mask) == [said]


def test_the_last_bit_of_the_affine_is_seen(scan, mask):
    row = nib.load(scan).header["srow_x"].copy()
    row[3] = np.nextafter(row[3], np.float32(100))
    rewrite(mask, srow_x=row)
    (difference,) = verify_mask(scan, mask)
    assert difference.startswith("header: srow_x")
    row[3] += 2
    rewrite(mask, srow_x=row)
    grid, field = verify_mask(scan, mask)
    assert grid.startswith("grid: origin (mm) (3.5, -40.25, 9.125) vs (5.5, -40.25, 9.125)")
    assert field.startswith("header: srow_x")


def test_another_shape_is_seen(scan, write_nifti):
    other = write_nifti("other.nii", voxels=np.zeros((5, 6, 8), np.uint8), qform_code=1)
    assert verify_mask(scan, other) == ["grid: shape (5, 6, 7) vs (5, 6, 8)"]


def test_voxels_that_are_no_labels_are_counted(scan, write_nifti):
    voxels = np.zeros((5, 6, 7), np.float32)
    voxels[0, 0, :3], voxels[1, 1, 4:6] = 0.5, -1
    assert verify_mask(scan, write_nifti("m.nii", voxels=voxels, qform_code=1)) == [
        "voxel type: float32 is no unsigned integer",
        "labels: 3 voxels are no whole number",
        "labels: 2 voxels are negative",
    ]
    voxels[:] = np.nan
    assert (
        "210 voxels are no whole"
        in verify_mask(scan, write_nifti("m.nii", voxels=voxels, qform_code=1))[-1]
    )


def test_channels_are_seen(scan, write_nifti):
    other = write_nifti("other.nii", voxels=np.zeros((5, 6, 7, 2), np.uint8), qform_code=1)
    differences = verify_mask(scan, other)
    assert "channels: a mask has 1, this has 2" in differences


def test_a_mask_of_the_other_nifti_version_or_byte_order_may_fit(scan, write_nifti):
    for version, order in ((2, "<"), (1, ">")):
        zeros = np.zeros((5, 6, 7), np.uint8)
        other = write_nifti("m.nii", voxels=zeros, version=version, order=order, qform_code=1)
        differences = verify_mask(scan, other)
        if version == 1:
            assert differences == []
        else:  # NIfTI-2 holds float64, so 0.1 is another number there
            assert all(text.startswith("header: ") for text in differences)
            assert differences


def test_files_that_cannot_be_read_are_errors(scan, tmp_path):
    with pytest.raises(VolumeError, match=r"none\.nii does not exist"):
        verify_mask(scan, tmp_path / "none.nii")
