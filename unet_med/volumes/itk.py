"""SimpleITK images in and out, in memory.

ITK counts world axes in LPS+ and SimpleITK's arrays run (k, j, i): both are turned here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med._optional import require
from unet_med.errors import GeometryError, VolumeError
from unet_med.volumes.volume import ArrayVolume, array_volume

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813 - the package's own habit
    from numpy.typing import NDArray

    from unet_med.geometry import Geometry

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])  # its own inverse
_ORTHONORMAL_TOLERANCE = 1e-4
"""ITK refuses directions that are further from orthonormal than about this."""


def from_sitk(image: sitk.Image) -> ArrayVolume:
    """Make a volume of a SimpleITK image of two or three dimensions; vectors become channels.

    Raises:
        MissingExtraError: SimpleITK is not installed.
        VolumeError: The image has more than three dimensions.
    """
    toolkit = require("SimpleITK", extra="itk")
    dimension = image.GetDimension()
    if dimension not in (2, 3):
        msg = f"a SimpleITK image of {dimension} dimensions cannot be used; extract a 3D one"
        raise VolumeError(msg)
    voxels = toolkit.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() == 1:
        voxels = voxels[..., np.newaxis]
    if dimension == 2:  # noqa: PLR2004 - a single slice
        voxels = voxels[np.newaxis]
    return array_volume(voxels.transpose(2, 1, 0, 3), _affine_of(image), name="SimpleITK image")


def to_sitk(labels: NDArray[Any], geometry: Geometry) -> sitk.Image:
    """Make a SimpleITK image of labels.

    Args:
        labels: Label values, (i, j, k).
        geometry: Their grid.

    Raises:
        MissingExtraError: SimpleITK is not installed.
        GeometryError: The affine is sheared, which ITK cannot express.
    """
    toolkit = require("SimpleITK", extra="itk")
    spacing = np.asarray(geometry.spacing_mm)
    direction = _RAS_TO_LPS @ (geometry.voxel_to_world[:3, :3] / spacing)
    error = float(np.abs(direction.T @ direction - np.eye(3)).max())
    if error > _ORTHONORMAL_TOLERANCE:
        msg = f"the axes are sheared ({error:.2g} off), which ITK cannot express; save as NIfTI"
        raise GeometryError(msg)
    image = toolkit.GetImageFromArray(np.ascontiguousarray(labels.transpose(2, 1, 0)))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin((_RAS_TO_LPS @ geometry.voxel_to_world[:3, 3]).tolist())
    image.SetDirection(direction.ravel().tolist())
    return image


def _affine_of(image: sitk.Image) -> NDArray[np.float64]:
    """Return voxel index to RAS+ mm; a 2D image lies in the plane z = 0."""
    dimension = image.GetDimension()
    direction, spacing, origin = np.eye(3), np.ones(3), np.zeros(3)
    direction[:dimension, :dimension] = np.reshape(image.GetDirection(), (dimension, dimension))
    spacing[:dimension], origin[:dimension] = image.GetSpacing(), image.GetOrigin()
    affine = np.eye(4)
    affine[:3, :3] = _RAS_TO_LPS @ direction * spacing
    affine[:3, 3] = _RAS_TO_LPS @ origin
    return affine
