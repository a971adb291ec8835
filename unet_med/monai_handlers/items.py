"""Volumes out of what an engine's run hands to its handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from monai.utils import convert_to_numpy

from unet_med.errors import GeometryError, LabelError, UnetMedError
from unet_med.geometry import Geometry, grid_difference
from unet_med.transforms.reading import open_loaded
from unet_med.transforms.world import ras_affine
from unet_med.volumes import ArrayVolume, Volume, array_volume

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHANNEL_AND_VOLUME_AXES = 4


def file_of(image: Any) -> str:  # noqa: ANN401 - a MetaTensor or a plain tensor
    """Return the path of the file that an image was read from, or nothing."""
    return str(_meta(image).get("filename_or_obj", ""))


def scan_of(image: Any) -> tuple[Volume | None, str]:  # noqa: ANN401 - a MetaTensor or a plain tensor
    """Open the file of a scan as it is stored: the network's input is normalized."""
    if not file_of(image):
        return None, "The scan has no file name in its metadata, so the masks stand alone."
    try:
        return open_loaded(_meta(image)), ""
    except UnetMedError as exc:
        return None, f"The scan cannot be shown: {exc}."


def _meta(image: Any) -> Mapping[str, Any]:  # noqa: ANN401 - a MetaTensor or a plain tensor
    return getattr(image, "meta", {})


def volume_of(image: Any, role: str) -> ArrayVolume:  # noqa: ANN401 - a MetaTensor
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
    volume = array_volume(convert_to_numpy(image)[0], world, name=role)
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
