"""Maps on disk: values and header as nibabel and SimpleITK read them."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the package's own habit

from unet_med.cases import find_cases, find_masks
from unet_med.errors import GeometryError, InputError
from unet_med.volumes import (
    MAP_KINDS,
    from_array,
    is_map,
    map_name,
    open_volume,
    quantize_map,
    write_map,
    write_mask,
)
from unet_med.volumes.mask_header import GEOMETRY_FIELDS

NAMES = {7: "liver", 2: "Ödem", 3: "spleen"}
SHAPE = (5, 6, 7)


def chances(n, seed=0):
    return np.random.default_rng(seed).random((n, *SHAPE)).astype(np.float32)


def slabs(maps, step=3):
    for one in quantize_map(maps):
        for k in range(0, SHAPE[2], step):
            yield one[..., k : k + step]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
def test_probabilities_are_one_volume_per_label_under_the_scans_header(
    write_nifti, tmp_path, version, order
):
    path = write_nifti(version=version, order=order, sform_code=2, qform_code=1)
    target, maps = tmp_path / "scan.probabilities.nii.gz", chances(3)
    scan = open_volume(path)
    write_map(slabs(maps), target, like=scan, kind="probabilities", label_names=NAMES)
    found, given = nib.load(target), nib.load(path)
    assert found.shape == (*SHAPE, 3)
    np.testing.assert_allclose(np.moveaxis(found.get_fdata(), 3, 0), maps, atol=0.5 / 255 + 1e-6)
    assert found.get_data_dtype().itemsize == 1
    for field in GEOMETRY_FIELDS:
        np.testing.assert_array_equal(found.header[field], given.header[field])
    assert found.header["intent_name"].item() == b"probabilities"


@pytest.mark.parametrize("kind", ["entropy", "uncertainty"])
def test_other_maps_have_the_spatial_shape(write_nifti, tmp_path, kind):
    scan, target, maps = open_volume(write_nifti()), tmp_path / f"a.{kind}.nii", chances(1)
    write_map(slabs(maps), target, like=scan, kind=kind, label_names=NAMES)
    assert nib.load(target).shape == SHAPE
    np.testing.assert_allclose(nib.load(target).get_fdata(), maps[0], atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("fourth", [0.0, 2.5])
def test_simpleitk_reads_them_whatever_the_scan_says_of_a_fourth_axis(tmp_path, fourth):
    image = nib.Nifti1Image(np.zeros(SHAPE, np.int16), np.diag([1.0, 2, 3, 1]))
    image.header["pixdim"][4] = fourth
    nib.save(image, tmp_path / "scan.nii.gz")
    target, maps = tmp_path / "scan.probabilities.nii.gz", chances(3)
    scan = open_volume(tmp_path / "scan.nii.gz")
    write_map(slabs(maps), target, like=scan, kind="probabilities", label_names=NAMES)
    found = sitk.ReadImage(str(target))
    assert found.GetSize() == (*SHAPE, 3)
    voxels = sitk.GetArrayFromImage(found).transpose(0, 3, 2, 1)
    np.testing.assert_allclose(voxels, maps, atol=0.5 / 255 + 1e-6)
    spatial = sitk.ReadImage(str(tmp_path / "scan.nii.gz"))
    assert found.GetSpacing()[:3] == spatial.GetSpacing()
    assert found.GetOrigin()[:3] == spatial.GetOrigin()


def test_too_few_volumes_leave_no_file(write_nifti, tmp_path):
    scan, target = open_volume(write_nifti()), tmp_path / "a.probabilities.nii.gz"
    with pytest.raises(GeometryError, match="do not add up"):
        write_map(slabs(chances(2)), target, like=scan, kind="probabilities", label_names=NAMES)
    assert list(tmp_path.glob("*probabilities*")) == []


def test_only_our_own_maps_are_known_as_maps(write_nifti, tmp_path):
    scan = open_volume(write_nifti())
    ours, foreign = tmp_path / "a.entropy.nii.gz", write_nifti("b.entropy.nii.gz")
    write_map(slabs(chances(1)), ours, like=scan, kind="entropy", label_names=NAMES)
    assert is_map(ours)
    assert not is_map(foreign)
    mask = tmp_path / "c.entropy.nii.gz"
    write_mask(np.zeros(SHAPE, np.uint8), mask, like=scan, label_names=NAMES)
    assert not is_map(mask)
    renamed = ours.rename(tmp_path / "a.nii.gz")
    assert not is_map(renamed)
    (tmp_path / "broken.entropy.nii.gz").write_bytes(b"nothing")
    assert not is_map(tmp_path / "broken.entropy.nii.gz")


def test_volumes_without_a_header_get_one(tmp_path):
    scan = from_array(np.zeros(SHAPE, np.float32), np.diag([2.0, 1, 1, 1]))
    target, maps = tmp_path / "x.probabilities.nii.gz", chances(3)
    write_map(slabs(maps), target, like=scan, kind="probabilities", label_names=NAMES)
    np.testing.assert_array_equal(nib.load(target).affine, np.diag([2.0, 1, 1, 1]))


def test_maps_are_found_neither_as_scans_nor_as_masks(write_nifti, tmp_path):
    (tmp_path / "out").mkdir()
    scan = open_volume(write_nifti("out/a.nii.gz"))
    for kind in MAP_KINDS:
        n_maps = 3 if kind == "probabilities" else 1
        target = tmp_path / "out" / map_name("a", kind)
        write_map(slabs(chances(n_maps)), target, like=scan, kind=kind, label_names=NAMES)
    found = find_cases([tmp_path / "out"], n_channels=1, output=None)
    assert [case.id for case in found.cases] == ["a"]
    assert list(find_masks(tmp_path / "out")) == ["a"]
    with pytest.raises(InputError, match="is a map that this program wrote"):
        find_cases([target], n_channels=1, output=None)
