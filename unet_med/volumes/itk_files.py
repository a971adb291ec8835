"""Masks as NRRD and MetaImage files, written by SimpleITK and proven by our own reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med._files import atomic_path
from unet_med._optional import require
from unet_med.errors import GeometryError, OutputError
from unet_med.geometry import grid_difference
from unet_med.volumes.itk import to_sitk
from unet_med.volumes.label_names import notes_text
from unet_med.volumes.text_image import open_text_image

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.volumes.formats import MaskNotes
    from unet_med.volumes.volume import Volume


def write_itk(
    slabs: Iterable[NDArray[Any]],
    path: Path,
    *,
    like: Volume,
    dtype: np.dtype[Any],
    notes: MaskNotes,
) -> None:
    """Write labels as NRRD or MetaImage, compressed, and prove them by reading them back.

    Label maps are whole in memory. Names and provenance go into the header of a .nrrd file.

    Raises:
        MissingExtraError: SimpleITK is not installed.
        GeometryError: The grid is sheared, which ITK cannot express.
        OutputError: The file cannot be written, or was read back otherwise.
    """
    toolkit = require("SimpleITK", extra="itk")
    labels = np.concatenate([np.asarray(slab, dtype) for slab in slabs], axis=2)
    image = to_sitk(labels, like.geometry)
    image.SetMetaData("unet_med", notes_text(notes.label_names, notes.provenance))
    with atomic_path(path) as partial:
        try:
            toolkit.WriteImage(image, str(partial), useCompression=True)
        except RuntimeError as exc:
            msg = f"cannot write {path}: check the folder, rights and free space"
            raise OutputError(msg) from exc
        prove(partial, labels, opened=open_text_image(partial), like=like, target=path)


def prove(
    partial: Path, labels: NDArray[Any], *, opened: Volume, like: Volume, target: Path
) -> None:
    """Compare a written mask, opened again, with the labels and the scan's grid.

    Raises:
        GeometryError: It lies elsewhere.
        OutputError: It has other voxels.
    """
    apart = grid_difference(like.geometry, opened.geometry)
    if apart:
        msg = f"{partial.suffix} cannot keep the place of {like.name}: {apart}"
        raise GeometryError(msg)
    for plane in range(labels.shape[2]):
        found = opened.read(plane, plane + 1, axis=2)[0]
        if not np.array_equal(found, labels[:, :, plane : plane + 1].astype(np.float32)):
            msg = f"cannot write {target}: it was read back with other labels; check the disk"
            raise OutputError(msg)
