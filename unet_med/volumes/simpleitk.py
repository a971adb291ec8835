"""Convert SimpleITK images in memory, and write masks as NRRD and MetaImage files.

ITK counts world axes in LPS+ and SimpleITK's arrays run (k, j, i): both are turned here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK

from unet_med._files import atomic_path
from unet_med.errors import GeometryError, OutputError, VolumeError
from unet_med.volumes.mask_header import metadata_json
from unet_med.volumes.nrrd_metaimage import open_nrrd_metaimage
from unet_med.volumes.verification import verify_written_labels
from unet_med.volumes.volume import ArrayVolume, from_array

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.geometry import Geometry
    from unet_med.volumes.mask_metadata import MaskMetadata
    from unet_med.volumes.volume import Volume

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])  # its own inverse

_ITK_ORTHONORMAL_TOLERANCE = 1e-4
"""ITK refuses directions that are further from orthonormal than about this."""


def from_sitk(image: SimpleITK.Image) -> ArrayVolume:
    """Make a volume of a SimpleITK image of two or three dimensions; vectors become channels.

    Raises:
        VolumeError: The image has more than three dimensions.

    Example:
        >>> from_sitk(SimpleITK.Image((4, 5, 6), SimpleITK.sitkInt16)).geometry.shape
        (4, 5, 6)
    """
    dimension = image.GetDimension()
    if dimension not in (2, 3):
        msg = f"a SimpleITK image of {dimension} dimensions cannot be used; extract a 3D one"
        raise VolumeError(msg)
    voxels = SimpleITK.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() == 1:
        voxels = voxels[..., np.newaxis]
    if dimension == 2:  # noqa: PLR2004 - a single slice
        voxels = voxels[np.newaxis]
    return from_array(voxels.transpose(2, 1, 0, 3), _affine_of(image), name="SimpleITK image")


def to_sitk(labels: NDArray[Any], geometry: Geometry) -> SimpleITK.Image:
    """Make a SimpleITK image of labels.

    Args:
        labels: Label values, (i, j, k).
        geometry: Their grid.

    Raises:
        GeometryError: The affine is sheared, which ITK cannot express.

    Example:
        >>> from unet_med.geometry import Geometry
        >>> to_sitk(np.ones((4, 5, 6), np.uint8), Geometry((4, 5, 6), np.eye(4))).GetSize()
        (4, 5, 6)
    """
    spacing = np.asarray(geometry.spacing_mm)
    direction = _RAS_TO_LPS @ (geometry.voxel_to_world[:3, :3] / spacing)
    error = float(np.abs(direction.T @ direction - np.eye(3)).max())
    if error > _ITK_ORTHONORMAL_TOLERANCE:
        msg = f"the axes are sheared ({error:.2g} off), which ITK cannot express; save as NIfTI"
        raise GeometryError(msg)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(labels.transpose(2, 1, 0)))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin((_RAS_TO_LPS @ geometry.voxel_to_world[:3, 3]).tolist())
    image.SetDirection(direction.ravel().tolist())
    return image


def _affine_of(image: SimpleITK.Image) -> NDArray[np.float64]:
    """Return voxel index to RAS+ mm; a 2D image lies in the plane z = 0."""
    dimension = image.GetDimension()
    direction, spacing, origin = np.eye(3), np.ones(3), np.zeros(3)
    direction[:dimension, :dimension] = np.reshape(image.GetDirection(), (dimension, dimension))
    spacing[:dimension], origin[:dimension] = image.GetSpacing(), image.GetOrigin()
    affine = np.eye(4)
    affine[:3, :3] = _RAS_TO_LPS @ direction * spacing
    affine[:3, 3] = _RAS_TO_LPS @ origin
    return affine


def write_with_simpleitk(
    slabs: Iterable[NDArray[Any]],
    path: Path,
    *,
    like: Volume,
    dtype: np.dtype[Any],
    metadata: MaskMetadata,
) -> None:
    """Write labels as NRRD or MetaImage, compressed, and verify them by reading them back.

    Label maps are whole in memory. Names and provenance go into the header of a .nrrd file.

    Raises:
        GeometryError: The grid is sheared, which ITK cannot express.
        OutputError: The file cannot be written, or was read back otherwise.
    """
    labels = np.concatenate([np.asarray(slab, dtype) for slab in slabs], axis=2)
    image = to_sitk(labels, like.geometry)
    image.SetMetaData("unet_med", metadata_json(metadata.label_names, metadata.provenance))
    with atomic_path(path) as partial:
        try:
            SimpleITK.WriteImage(image, str(partial), useCompression=True)
        except RuntimeError as exc:
            msg = f"cannot write {path}: check the folder, rights and free space"
            raise OutputError(msg) from exc
        verify_written_labels(
            partial, labels, opened=open_nrrd_metaimage(partial), like=like, target=path
        )
