"""NIfTI files made with nibabel alone."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

AFFINE = np.array(
    [[0.1, -0.9, 0.2, 3.5], [1.1, 0.05, 0.0, -40.25], [0.0, 0.3, -2.5, 9.125], [0, 0, 0, 1]]
)


@pytest.fixture
def write_nifti(tmp_path):
    """Write voxels as they are, with a header whose fields can be given."""

    def write(name="scan.nii.gz", *, voxels=None, version=1, order="<", **fields):
        if voxels is None:
            voxels = np.random.default_rng(7).integers(-900, 2000, (5, 6, 7)).astype(np.int16)
        header = (nib.Nifti1Header if version == 1 else nib.Nifti2Header)(endianness=order)
        header.set_data_shape(voxels.shape)
        header.set_data_dtype(voxels.dtype)
        header.set_xyzt_units("mm", "sec")
        header.set_zooms((1.1, 0.95, 2.5, 3.0)[: voxels.ndim] + (1.0,) * (voxels.ndim - 4))
        header.set_sform(AFFINE, code=1)
        header["scl_slope"], header["scl_inter"] = 1, 0
        header["vox_offset"] = header.single_vox_offset
        for field, value in fields.items():
            header[field] = value
        path = tmp_path / name
        with nib.openers.ImageOpener(path, "wb") as stream:
            stream.write(header.binaryblock + bytes(4))
            stream.write(voxels.astype(voxels.dtype.newbyteorder(order)).tobytes(order="F"))
        return path

    return write
