"""Mask headers: the scan's bit for bit, with label names and nothing of the patient."""

from __future__ import annotations

import gzip
import json

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from unet_med.geometry import Geometry
from unet_med.volumes import (
    ArrayVolume,
    from_array,
    from_nibabel,
    mask_image,
    open_volume,
    stack_volumes,
    verify_mask,
    write_mask,
)
from unet_med.volumes.mask_header import read_label_names

NAMES = {1: "gray matter", 4: "Tumor – Ödem"}
CHANGED = {
    "datatype", "bitpix", "scl_slope", "scl_inter", "vox_offset", "cal_max", "cal_min",
    "intent_code", "intent_p1", "intent_p2", "intent_p3", "intent_name", "descrip", "aux_file",
    "data_type", "db_name", "dim", "magic",
}  # fmt: skip
SPATIAL = (5, 6, 7)


def labels_of(shape=SPATIAL) -> np.ndarray:
    return np.random.default_rng(1).choice([0, 1, 4], shape)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_every_other_field_is_the_scans(write_nifti, tmp_path, version, order, ending):
    """Fill every field that the mask should keep with something odd."""
    scan = write_nifti(
        version=version, order=order, dim_info=57, slice_start=2, slice_end=5, slice_code=3,
        slice_duration=0.25, toffset=7.5, pixdim=[-1, 1.1, 0.95, 2.5, 3.25, 6, 7, 8],
        xyzt_units=17, qform_code=3, sform_code=4, quatern_b=0.1, quatern_c=-0.2, quatern_d=0.3,
        qoffset_x=1.5, qoffset_y=2.5, qoffset_z=np.nan,
    )  # fmt: skip
    target = tmp_path / f"mask{ending}"
    labels = labels_of()
    write_mask(labels, target, like=open_volume(scan), label_names=NAMES)
    raw = gzip.decompress(target.read_bytes()) if ending == ".nii.gz" else target.read_bytes()
    size = {1: 348, 2: 540}[version]
    header_class = nib.Nifti1Header if version == 1 else nib.Nifti2Header
    before = header_class(gzip.decompress(scan.read_bytes())[:size], check=False)
    after = header_class(raw[:size], check=False)
    assert after.endianness == order
    for field in before:
        if field not in CHANGED:
            assert before[field].tobytes() == after[field].tobytes(), field
    assert after["dim"].tolist() == [3, *SPATIAL, 1, 1, 1, 1]
    assert (after["scl_slope"], after["scl_inter"], after["intent_code"]) == (1, 0, 1002)
    assert np.array_equal(np.asarray(nib.load(target).dataobj), labels)


@pytest.mark.parametrize(
    "fields",
    [
        {"pixdim": [0, 1.1, 0.95, 2.5, 1, 1, 1, 1], "qform_code": 1, "sform_code": 0},
        {"pixdim": [1, -1.1, 0.95, 2.5, 1, 1, 1, 1], "qform_code": 1, "sform_code": 0},
        {"pixdim": [1, 0, 0, 0, 1, 1, 1, 1]},
        {"qform_code": 99},
        {"bitpix": 3},
    ],
)
def test_what_nibabel_mends_on_reading_is_kept_as_it_stands(write_nifti, tmp_path, fields):
    scan, target = write_nifti("scan.nii", **fields), tmp_path / "mask.nii"
    write_mask(labels_of(), target, like=open_volume(scan), label_names=NAMES)
    before, after = (
        nib.Nifti1Header(path.read_bytes()[:348], check=False) for path in (scan, target)
    )
    for field in fields.keys() - CHANGED:
        assert before[field].tobytes() == after[field].tobytes()
    np.testing.assert_array_equal(nib.load(target).affine, nib.load(scan).affine)
    assert np.array_equal(np.asarray(nib.load(target).dataobj), labels_of())


def test_nothing_that_may_name_a_patient_is_copied(tmp_path):
    image = nib.Nifti1Image(np.zeros(SPATIAL, np.int16), np.eye(4))
    for field in ("descrip", "aux_file", "db_name", "intent_name", "data_type"):
        image.header[field] = b"DOE^JANE"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"born DOE^JANE"))
    scan, target = tmp_path / "scan.nii", tmp_path / "mask.nii"
    nib.save(image, scan)
    write_mask(labels_of(), target, like=open_volume(scan), label_names=NAMES)
    assert scan.read_bytes().count(b"DOE^JANE") == 6
    assert b"DOE" not in target.read_bytes()


def test_label_names_are_in_an_extension(write_nifti, tmp_path):
    target = tmp_path / "mask.nii.gz"
    write_mask(labels_of(), target, like=open_volume(write_nifti()), label_names=NAMES)
    header = nib.load(target).header
    (extension,) = header.extensions
    assert extension.get_code() == 6
    assert json.loads(extension.get_content()) == {
        "unet_med": {"labels": {"1": "gray matter", "4": "Tumor – Ödem"}}
    }
    assert read_label_names(target) == NAMES
    assert read_label_names(write_nifti()) == {}
    for name, content in {"a.nii": b"x" * 400, "b.nii.gz": target.read_bytes()[:30]}.items():
        (tmp_path / name).write_bytes(content)
        assert read_label_names(tmp_path / name) == {}
    foreign = nib.Nifti1Image(np.zeros((2, 3, 4), np.uint8), np.eye(4))
    foreign.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"[1, 2]"))
    foreign.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"hello"))
    nib.save(foreign, tmp_path / "foreign.nii.gz")
    assert read_label_names(tmp_path / "foreign.nii.gz") == {}


@pytest.mark.parametrize(
    ("found", "named", "dtype"),
    [(1, 1, "u1"), (255, 1, "u1"), (256, 1, "u2"), (1, 300, "u2"), (65535, 1, "u2"),
     (65536, 1, "u4"), (2**32 - 1, 1, "u4")],
)  # fmt: skip
def test_the_type_is_the_smallest_for_found_and_named_values(tmp_path, found, named, dtype):
    labels = np.zeros(SPATIAL, np.int64)
    labels[1, 2, 3] = found
    scan = from_array(np.zeros(SPATIAL), np.eye(4))
    write_mask(labels, tmp_path / "mask.nii", like=scan, label_names={named: "x"})
    image = nib.load(tmp_path / "mask.nii")
    assert image.get_data_dtype() == np.dtype(dtype)
    assert np.array_equal(np.asarray(image.dataobj), labels)
    assert mask_image(labels, like=scan, label_names={named: "x"}).get_data_dtype() == dtype


@pytest.mark.parametrize(
    ("shape", "mask_shape"),
    [((5, 6), (5, 6)), ((5, 6, 1), (5, 6, 1)), ((1, 6, 7), (1, 6, 7)), ((5, 6, 7, 3), (5, 6, 7)),
     ((5, 6, 7, 1), (5, 6, 7)), ((5, 6, 7, 1, 3), (5, 6, 7)), ((5, 6, 1, 1), (5, 6, 1))],
)  # fmt: skip
def test_masks_have_the_scans_spatial_shape(write_nifti, tmp_path, shape, mask_shape):
    scan = write_nifti(voxels=np.zeros(shape, np.int16))
    volume = open_volume(scan, channel=0)
    labels = labels_of(volume.geometry.shape)
    write_mask(labels, tmp_path / "mask.nii.gz", like=volume, label_names=NAMES)
    image = nib.load(tmp_path / "mask.nii.gz")
    assert image.shape == mask_shape
    assert image.header["dim"][4:].tolist() == [1, 1, 1, 1]
    assert np.array_equal(np.asarray(image.dataobj), labels.reshape(mask_shape))
    assert image.header["pixdim"].tobytes() == nib.load(scan).header["pixdim"].tobytes()
    assert verify_mask(scan, tmp_path / "mask.nii.gz") == []
    assert mask_image(labels, like=volume, label_names=NAMES).shape == mask_shape


def test_a_mask_of_a_pair_of_files_is_one_file(tmp_path):
    nib.save(nib.Nifti1Pair(np.zeros(SPATIAL, np.int16), np.eye(4)), tmp_path / "scan.img")
    volume = open_volume(tmp_path / "scan.hdr")
    write_mask(labels_of(), tmp_path / "mask.nii", like=volume, label_names=NAMES)
    assert np.array_equal(np.asarray(nib.load(tmp_path / "mask.nii").dataobj), labels_of())
    assert verify_mask(tmp_path / "scan.img", tmp_path / "mask.nii") == []


@pytest.mark.parametrize("sheared", [False, True])
def test_scans_without_a_header_get_a_fresh_one(tmp_path, sheared):
    affine = np.diag([0.7, 0.9, 3.1, 1.0])
    affine[:3, :3] = (
        Rotation.from_euler("xyz", (10, 20, 30), degrees=True).as_matrix() @ affine[:3, :3]
    )
    affine[:3, 3] = (-120.5, 33.25, 71)
    if sheared:
        affine[0, 1] += 0.2
    scan = from_array(np.zeros(SPATIAL), affine)
    write_mask(labels_of(), tmp_path / "mask.nii.gz", like=scan, label_names=NAMES)
    image = nib.load(tmp_path / "mask.nii.gz")
    np.testing.assert_allclose(image.affine, affine, atol=1e-5)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert int(image.header["sform_code"]) == 1
    assert int(image.header["qform_code"]) == (0 if sheared else 1)
    np.testing.assert_allclose(image.header.get_zooms(), scan.geometry.spacing_mm, rtol=1e-6)
    if not sheared:
        np.testing.assert_allclose(image.get_qform(), affine, atol=1e-4)


def test_a_fresh_header_of_a_huge_grid_is_nifti_2(tmp_path):
    scan = ArrayVolume(np.zeros((1, 40000, 2, 1)), Geometry((40000, 2, 1), np.eye(4)))
    write_mask(np.zeros((40000, 2, 1), int), tmp_path / "m.nii", like=scan, label_names=NAMES)
    image = nib.load(tmp_path / "m.nii")
    assert isinstance(image, nib.Nifti2Image)
    assert image.shape == (40000, 2, 1)


def test_masks_of_stacked_and_in_memory_volumes_copy_the_first_header(write_nifti, tmp_path):
    first, second = write_nifti("a.nii", sform_code=3), write_nifti("b.nii")
    stacked = stack_volumes([open_volume(first), open_volume(second)])
    write_mask(labels_of(), tmp_path / "mask.nii", like=stacked, label_names=NAMES)
    assert verify_mask(first, tmp_path / "mask.nii") == []
    in_memory = from_nibabel(nib.load(first))
    write_mask(labels_of(), tmp_path / "again.nii", like=in_memory, label_names=NAMES)
    assert (tmp_path / "again.nii").read_bytes() == (tmp_path / "mask.nii").read_bytes()
