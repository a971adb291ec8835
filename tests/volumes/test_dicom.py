"""DICOM series as volumes, against known voxels and GDCM; every way of storing pixels."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - the package's own habit
from pydicom.data import get_testdata_file

from tests.volumes.dicom_builders import (
    edit,
    enhanced,
    noise,
    orthonormal,
    read_all,
    refused,
    tilted,
    write_series,
)
from unet_med.errors import InputError, VolumeError
from unet_med.volumes import from_sitk, open_volume


def by_gdcm(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return from_sitk(reader.Execute())


@pytest.mark.parametrize("flip", [(), (0,), (1,), (2,), (0, 1), (0, 1, 2)])
def test_slices_are_placed_by_position_whatever_their_names(tmp_path, flip):
    voxels, affine = noise(), orthonormal(flip=flip)
    write_series(tmp_path / "exam", voxels, affine)
    volume = open_volume(tmp_path / "exam")
    normal = np.cross(affine[:3, 0], affine[:3, 1])  # in LPS of the same sign: two axes flip
    if affine[:3, 2] @ normal < 0:  # then slices count from the other end
        voxels, affine = voxels[:, :, ::-1], affine @ moved_to_last(voxels)
    assert volume.geometry.shape == voxels.shape
    np.testing.assert_allclose(volume.geometry.voxel_to_world, affine, atol=1e-5)
    np.testing.assert_array_equal(read_all(volume)[0], voxels)
    itk = by_gdcm(tmp_path / "exam")
    np.testing.assert_allclose(itk.geometry.voxel_to_world, affine, atol=1e-5)
    np.testing.assert_array_equal(read_all(itk)[0], voxels)


def moved_to_last(voxels):
    """The change of index that counts slices from the last."""
    change = np.eye(4)
    change[2, 2], change[2, 3] = -1, voxels.shape[2] - 1
    return change


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_slab_is_the_same_part(tmp_path, axis):
    voxels = noise((5, 6, 7))
    write_series(tmp_path / "exam", voxels, orthonormal())
    volume = open_volume(tmp_path / "exam")
    for start in range(voxels.shape[axis]):
        for stop in range(start + 1, voxels.shape[axis] + 1):
            slab = volume.read(start, stop, axis=axis)[0]
            np.testing.assert_array_equal(slab, voxels.take(range(start, stop), axis))


def test_a_tilted_gantry_is_a_sheared_grid(tmp_path):
    voxels, affine = noise(), tilted()
    assert abs(np.dot(affine[:3, 1], affine[:3, 2])) > 0.5
    write_series(tmp_path / "exam", voxels, affine)
    volume = open_volume(tmp_path / "exam")
    np.testing.assert_allclose(volume.geometry.voxel_to_world, affine, atol=1e-5)
    np.testing.assert_array_equal(read_all(volume)[0], voxels)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.uint8])
def test_rescaling_of_each_slice(tmp_path, dtype):
    voxels = noise(dtype=dtype)
    slopes, intercepts = [0.5, 1, 2, 3, 0.25], [-1024, 0, 7, 1.5, -3]
    write_series(
        tmp_path / "exam", voxels, orthonormal(), RescaleSlope=slopes, RescaleIntercept=intercepts
    )
    volume = open_volume(tmp_path / "exam")
    assert volume.stored_dtype == dtype
    expected = voxels * np.array(slopes) + intercepts
    np.testing.assert_array_equal(read_all(volume)[0], expected.astype(np.float32))
    np.testing.assert_array_equal(volume.read(2, 4, axis=0)[0], expected.astype(np.float32)[2:4])


def test_signed_twelve_bits_with_an_overlay_above_them(tmp_path):
    values = np.random.default_rng(0).integers(-2048, 2048, (7, 6, 5)).astype(np.int16)
    rubbish = np.random.default_rng(1).integers(0, 16, values.shape).astype(np.uint16) << 12
    stored = ((values.view(np.uint16) & 0x0FFF) | rubbish).view(np.int16)
    write_series(tmp_path / "exam", stored, orthonormal(), BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(read_all(open_volume(tmp_path / "exam"))[0], values)


def test_an_enhanced_file_with_frames_in_any_order(tmp_path):
    voxels, affine = noise(), orthonormal()
    path = enhanced(tmp_path / "scan", voxels, affine, order=[3, 0, 4, 1, 2])
    volume = open_volume(path)
    expected = voxels * (0.5 + np.arange(5)) - np.arange(5)
    np.testing.assert_allclose(volume.geometry.voxel_to_world, affine, atol=1e-5)
    np.testing.assert_array_equal(read_all(volume)[0], expected.astype(np.float32))
    np.testing.assert_array_equal(
        volume.read(1, 3, axis=2)[0], expected.astype(np.float32)[..., 1:3]
    )


def test_missing_slices_are_counted(tmp_path):
    paths = write_series(tmp_path / "exam", noise((7, 6, 9)), orthonormal())
    paths[3].unlink()
    text = refused(lambda: open_volume(tmp_path / "exam"))
    assert "lacks 1 of 9 slices (after slice 3; slices are 3 mm apart, there 6 mm)" in text


def test_the_last_slice_cannot_be_missed(tmp_path):
    """Nothing in a series says where it ends: what is documented as a limit is one."""
    paths = write_series(tmp_path / "exam", noise((7, 6, 9)), orthonormal())
    paths[8].unlink()
    assert open_volume(tmp_path / "exam").geometry.shape == (7, 6, 8)


def test_uneven_slices_are_refused_with_their_distances(tmp_path):
    affine = orthonormal()
    for n, k in enumerate((0, 1, 2, 3.4, 4.8)):
        moved = affine.copy()
        moved[:3, 3] += affine[:3, 2] * k
        write_series(tmp_path / "part", noise((7, 6, 1), seed=n), moved)
        (tmp_path / "exam").mkdir(exist_ok=True)
        path = (tmp_path / "part/IM0000").rename(tmp_path / f"exam/{n}")
        edit(path, SOPInstanceUID=f"1.2.826.9.{n}")
    text = refused(lambda: open_volume(tmp_path / "exam"))
    assert "no even stack: distances between slices run from 3 to 4.2 mm" in text


def test_a_copied_slice_counts_once_and_a_second_scan_not_at_all(tmp_path):
    voxels = noise()
    paths = write_series(tmp_path / "exam", voxels, orthonormal())
    shutil.copy(paths[2], tmp_path / "exam/again.dcm")
    volume = open_volume(tmp_path / "exam")
    np.testing.assert_array_equal(read_all(volume)[0], voxels)
    assert volume.warnings == ("1 DICOM files are copies of others and were left out",)
    edit(tmp_path / "exam/again.dcm", SOPInstanceUID="1.2.826.5", EchoTime=90)
    text = refused(lambda: open_volume(tmp_path / "exam"))
    assert "several images at one place: 6 images at 5 places" in text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"ImageOrientationPatient": [1, 0, 0, 0.5, 0.5, 0]}, "not perpendicular"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "not perpendicular"),
        ({"ImagePositionPatient": [1, 2]}, "no valid position"),
        ({"PixelSpacing": [0, 1]}, "no pixel size"),
        ({"PixelSpacing": None}, "no valid pixel spacing"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "plain gray values"),
        ({"BitsStored": 17}, "pixels of 17 bits in 16"),
        ({"Rows": 0}, "pixels; check what it is"),
    ],
)
def test_headers_that_cannot_be(tmp_path, fields, said):
    paths = write_series(tmp_path / "exam", noise(), orthonormal())
    for path in paths:
        edit(path, **fields)
    assert said in refused(lambda: open_volume(tmp_path / "exam"))


def test_a_damaged_file_refuses_its_folder(tmp_path):
    paths = write_series(tmp_path / "exam", noise(), orthonormal())
    (tmp_path / "exam/more.dcm").write_bytes(b"DOE^JANE" * 40)
    assert "is not DICOM" in refused(lambda: open_volume(tmp_path / "exam"))
    (tmp_path / "exam/more.dcm").unlink()
    paths[0].write_bytes(paths[0].read_bytes()[:-10])  # pixels cut off
    volume = open_volume(tmp_path / "exam")
    assert paths[0].name in refused(lambda: read_all(volume))


def test_a_kind_of_value_that_is_none_refuses_its_folder(tmp_path):
    paths = write_series(tmp_path / "exam", noise(), orthonormal())
    modality = b"\x08\x00\x60\x00"
    damaged = paths[0].read_bytes().replace(modality + b"CS", modality + b"KS")
    assert damaged != paths[0].read_bytes()
    paths[0].write_bytes(damaged)
    assert "is not DICOM" in refused(lambda: open_volume(tmp_path / "exam"))


def test_deflated_files_are_not_inflated():
    path = Path(get_testdata_file("image_dfl.dcm"))
    assert "is deflated DICOM" in refused(lambda: open_volume(path))


SAME = ["MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm",
        "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_padded.dcm",
        "CT_small.dcm", "693_J2KI.dcm", "JPEG2000.dcm", "JPGExtended.dcm"]  # fmt: skip


@pytest.mark.filterwarnings("ignore:The pixel data is 8320 bytes long")
@pytest.mark.parametrize("name", SAME)
def test_transfer_syntaxes_of_pydicoms_files(name):
    path = Path(get_testdata_file(name))
    dataset = pydicom.dcmread(path)
    if "ImagePositionPatient" not in dataset:  # a picture without a place in the patient
        assert "no DICOM series" in refused(lambda: open_volume(path), InputError)
        return
    volume = open_volume(path)
    expected = dataset.pixel_array.astype(np.float64) * float(dataset.get("RescaleSlope", 1))
    expected += float(dataset.get("RescaleIntercept", 0))
    np.testing.assert_array_equal(read_all(volume)[0, :, :, 0], expected.T.astype(np.float32))
    image = from_sitk(sitk.ReadImage(str(path)))
    np.testing.assert_allclose(
        volume.geometry.voxel_to_world[:, [0, 1, 3]], image.geometry.voxel_to_world[:, [0, 1, 3]],
        atol=1e-4,
    )  # fmt: skip


@pytest.mark.parametrize(
    "syntax", ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless"]
)
def test_compressed_series(tmp_path, syntax):
    """Encoded by GDCM, as a PACS stores them; lossless JPEG is what most of them use."""
    gdcm = pytest.importorskip("gdcm")
    voxels = noise((16, 12, 4))
    for path in write_series(tmp_path / "exam", voxels, orthonormal()):
        reader, writer, change = (
            gdcm.ImageReader(),
            gdcm.ImageWriter(),
            (gdcm.ImageChangeTransferSyntax()),
        )
        reader.SetFileName(str(path))
        assert reader.Read()
        kind = getattr(gdcm.TransferSyntax, syntax)
        change.SetTransferSyntax(gdcm.TransferSyntax(kind))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(path))
        assert writer.Write()
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID.is_compressed
    np.testing.assert_array_equal(read_all(open_volume(tmp_path / "exam"))[0], voxels)


FILES = Path(get_testdata_file("CT_small.dcm")).parent


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", sorted(FILES.glob("*.dcm")), ids=lambda path: path.name)
def test_every_test_file_of_pydicom_is_read_or_refused(path):
    refusal = ""
    try:
        volume = open_volume(path)
        assert read_all(volume).shape[1:] == volume.geometry.shape
    except (VolumeError, InputError) as exc:
        refusal = str(exc)
    assert "\n" not in refusal
