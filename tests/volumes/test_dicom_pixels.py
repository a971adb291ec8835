"""Every way of storing pixels that pydicom's own files show, and those of a PACS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - the package's own habit
from pydicom.data import get_testdata_file

from tests.volumes.dicoms import noise, orthonormal, read_all, refused, write_series
from unet_med.errors import InputError, VolumeError
from unet_med.volumes import from_sitk, open_volume

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
