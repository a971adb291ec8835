"""Every format against the reader's contract; files by nibabel, SimpleITK and pydicom."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 - the package's own habit

from tests.volumes.dicom_builders import write_series
from unet_med.testing import ReaderContract


class NibabelContract(ReaderContract):
    image_class = nib.Nifti1Image
    has_channels = True

    def write(self, path, voxels, affine):
        nib.save(self.image_class(voxels, affine), path)


class TestNifti(NibabelContract):
    name = "scan.nii"
    dtypes = ("uint8", "int16", "float32", "float64")


class TestCompressedNifti(TestNifti):
    name = "scan.nii.gz"


class TestNifti2(TestCompressedNifti):
    image_class = nib.Nifti2Image


class TestNiftiPair(NibabelContract):
    name = "scan.hdr"
    image_class = nib.Nifti1Pair


class TestMgh(NibabelContract):
    name = "scan.mgh"
    image_class = nib.MGHImage
    dtypes = ("uint8", "int16", "int32", "float32")


class TestMgz(TestMgh):
    name = "scan.mgz"


class SimpleITKContract(ReaderContract):
    """The grid is worked out by hand: LPS+, axes (k, j, i)."""

    dtypes = ("uint8", "int16", "float32", "float64")
    has_channels = True
    compress = False

    def write(self, path, voxels, affine):
        turned = np.ascontiguousarray(np.moveaxis(voxels, (0, 1, 2), (2, 1, 0)))
        image = sitk.GetImageFromArray(turned, isVector=voxels.ndim == 4)
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        lps = np.diag([-1.0, -1.0, 1.0])
        image.SetSpacing(spacing.tolist())
        image.SetOrigin((lps @ affine[:3, 3]).tolist())
        image.SetDirection((lps @ affine[:3, :3] / spacing).ravel().tolist())
        sitk.WriteImage(image, str(path), useCompression=self.compress)


class TestNrrd(SimpleITKContract):
    name = "scan.nrrd"


class TestCompressedNrrd(SimpleITKContract):
    name = "scan.nrrd"
    compress = True


class TestDetachedNrrd(SimpleITKContract):
    name = "scan.nhdr"


class TestMetaImage(SimpleITKContract):
    name = "scan.mha"


class TestCompressedMetaImage(SimpleITKContract):
    name = "scan.mha"
    compress = True


class TestDetachedMetaImage(SimpleITKContract):
    name = "scan.mhd"


class TestDicom(ReaderContract):
    name = "exam"
    dtypes = ("uint8", "int16", "uint16")

    def write(self, path, voxels, affine):
        write_series(path, voxels, affine, Modality="MR")
