"""Read affines, file names and label volumes from MetaTensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from monai.data import MetaTensor
from monai.utils import MetaKeys, SpaceKeys, convert_to_numpy

from unet_med.errors import GeometryError, LabelError
from unet_med.geometry import Geometry, grid_difference
from unet_med.volumes import ArrayVolume, from_array

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from numpy.typing import NDArray

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def ras_affine(affine: Any, meta: Mapping[str, Any]) -> NDArray[np.float64]:  # noqa: ANN401 - tensor or array
    """Return an affine from voxel index to RAS+ mm, whichever space the meta data name.

    MONAI's ITK, DICOM and NRRD readers leave affines in LPS when they are told not to convert;
    the key ``space`` says so.

    Args:
        affine: Shape (4, 4), or (B, 4, 4) of a batch.
        meta: The image's meta data; of a batch, ``space`` is a list.

    Returns:
        Of the same shape, float64.
    """
    values = np.array(convert_to_numpy(affine), np.float64)
    space = meta.get(MetaKeys.SPACE, SpaceKeys.RAS)
    lps = np.array([one == SpaceKeys.LPS for one in ([space] if isinstance(space, str) else space)])
    if values.ndim == 2:  # noqa: PLR2004 - one affine
        return np.asarray(_LPS_TO_RAS @ values if lps.any() else values)
    return np.asarray(np.where(lps[:, np.newaxis, np.newaxis], _LPS_TO_RAS @ values, values))


def ras_affines(inputs: torch.Tensor) -> list[NDArray[np.float64]]:
    """Return one affine from voxel index to RAS+ mm, (4, 4), per volume of a batch.

    Args:
        inputs: (B, C, i, j, k); a plain tensor counts as RAS+ with 1 mm.

    Example:
        >>> import torch
        >>> ras_affines(MetaTensor(torch.zeros(2, 1, 3, 4, 5)))[1].shape
        (4, 4)
    """
    if not isinstance(inputs, MetaTensor):
        return [np.eye(4)] * len(inputs)
    affine = ras_affine(inputs.affine.detach(), inputs.meta)
    return list(np.broadcast_to(affine, (len(inputs), 4, 4)))


_CHANNEL_AND_VOLUME_AXES = 4


def filename_of(image: Any) -> str:  # noqa: ANN401 - a MetaTensor or a plain tensor
    """Return the path of the file that an image was read from, or nothing."""
    return str(_meta(image).get("filename_or_obj", ""))


def _meta(image: Any) -> Mapping[str, Any]:  # noqa: ANN401 - a MetaTensor or a plain tensor
    return getattr(image, "meta", {})


def label_volume(image: Any, role: str) -> ArrayVolume:  # noqa: ANN401 - a MetaTensor
    """Take (1, i, j, k) labels with their affine out of a MetaTensor.

    Args:
        image: The labels.
        role: ``prediction`` or ``reference``; a reference must lie on its file's grid.

    Raises:
        GeometryError: It has no affine, or is no longer on its file's grid.
        LabelError: It is no label map of one channel.
    """
    affine = getattr(image, "affine", None)
    if affine is None:
        msg = f"the {role} has no affine: keep MetaTensors through the postprocessing"
        raise GeometryError(msg)
    if image.ndim != _CHANNEL_AND_VOLUME_AXES or image.shape[0] != 1:
        msg = (
            f"the {role} has shape {tuple(image.shape)}, not (1, i, j, k): make it one label map, "
            "e.g. by AsDiscreted(argmax=True)"
        )
        raise LabelError(msg)
    world = ras_affine(affine, _meta(image))
    volume = from_array(convert_to_numpy(image)[0], world, name=role)
    if role == "reference":
        _check_as_stored(volume, _meta(image))
    return volume


def _check_as_stored(reference: ArrayVolume, meta: Mapping[str, Any]) -> None:
    """Slice numbers mean nothing unless the array is in the file's own order."""
    if "original_affine" not in meta or "spatial_shape" not in meta:
        return
    shape = tuple(int(size) for size in np.atleast_1d(convert_to_numpy(meta["spatial_shape"])))
    first, second, third = (*shape, 1, 1)[:3]
    affine = ras_affine(meta["original_affine"], meta)
    difference = grid_difference(Geometry((first, second, third), affine), reference.geometry)
    if difference:
        msg = (
            f"the reference is no longer on its file's grid: {difference}; load it without "
            "reorienting or resampling, or invert that before this handler"
        )
        raise GeometryError(msg)
