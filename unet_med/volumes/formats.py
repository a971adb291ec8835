"""Which file ending is read and written by which module; modules load when first needed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from unet_med.errors import OutputError, VolumeError
from unet_med.volumes.dicom_series import holds_dicom, is_dicom
from unet_med.volumes.limits import Limits, SeriesSelection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from os import PathLike

    import numpy as np
    from numpy.typing import NDArray

    from unet_med.volumes.mask_metadata import MaskMetadata
    from unet_med.volumes.volume import Volume

_NIFTI = "unet_med.volumes.nifti:open_nifti"
_NRRD_METAIMAGE = "unet_med.volumes.nrrd_metaimage:open_nrrd_metaimage"
_MGH = "unet_med.volumes.mgh:open_mgh"

OPENERS: dict[str, str | Callable[..., Volume]] = {
    ".nii.gz": _NIFTI,
    ".nii": _NIFTI,
    ".hdr": _NIFTI,
    ".img": _NIFTI,
    ".nrrd": _NRRD_METAIMAGE,
    ".nhdr": _NRRD_METAIMAGE,
    ".mha": _NRRD_METAIMAGE,
    ".mhd": _NRRD_METAIMAGE,
    ".mgz": _MGH,
    ".mgh": _MGH,
}
"""Opener per ending: ``module:function``, or the function: ``open(path, channel=channel)``."""

WRITERS = {
    ".nii.gz": "unet_med.volumes.nifti_writer:write_nifti",
    ".nii": "unet_med.volumes.nifti_writer:write_nifti",
    ".nrrd": "unet_med.volumes.simpleitk:write_with_simpleitk",
    ".mha": "unet_med.volumes.simpleitk:write_with_simpleitk",
    ".mgz": "unet_med.volumes.mgh:write_mgh",
    ".dcm": "unet_med.volumes.dicom_seg:write_dicom_seg",
}
"""Writer of masks per ending, called as ``function(slabs, path, like=, dtype=, metadata=)``."""

MASK_FORMATS = {
    "nifti": ".nii.gz", "nrrd": ".nrrd", "mha": ".mha", "mgz": ".mgz", "dicom-seg": ".dcm",
}  # fmt: skip
"""Ending of masks per name of ``--format``; there is ``input`` besides."""

_SINGLE_FILES = {".nhdr": ".nrrd", ".mhd": ".mha", ".mgh": ".mgz"}

DICOM_OPENER = "unet_med.volumes.dicom:open_dicom"
"""Opener of a folder of DICOM files, or of one file: known by content, not by an ending."""


def volume_ending(path: Path) -> str | None:
    """Return the ending by which a file is known as a volume, as it is spelled; None if it is not.

    Example:
        >>> volume_ending(Path("case.01.nii.gz"))
        '.nii.gz'
    """
    for ending in OPENERS:
        if path.name.lower().endswith(ending) and len(path.name) > len(ending):
            return path.name[-len(ending) :]
    return None


def mask_ending(scan: Path, name: str) -> str:
    """Return the ending of a scan's mask.

    Args:
        scan: The scan.
        name: A key of `MASK_FORMATS`, or ``input`` for the scan's own format; .nii.gz where
            no mask is written in it.

    Example:
        >>> mask_ending(Path("a.nii"), "input"), mask_ending(Path("a.hdr"), "input")
        ('.nii', '.nii.gz')
    """
    if name != "input":
        return MASK_FORMATS[name]
    ending = (volume_ending(scan) or ".dcm").lower()
    return ending if ending in WRITERS else _SINGLE_FILES.get(ending, ".nii.gz")


def write_labels(
    slabs: Iterable[NDArray[Any]],
    path: Path,
    *,
    like: Volume,
    dtype: np.dtype[Any],
    metadata: MaskMetadata,
) -> None:
    """Write a mask in the format of its ending, whole or not at all, and verify it.

    Args:
        slabs: Label values (i, j, n), the n adding up to the scan's third side.
        path: The target; its ending is one of `WRITERS`.
        like: The scan.
        dtype: Unsigned type of the labels.
        metadata: Names of labels, and how they were made.

    Raises:
        GeometryError: The format cannot hold the scan's grid.
        OutputError: The file cannot be written, or what was read back is not what was written.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from unet_med.volumes import MaskMetadata, from_array
        >>> scan, labels = from_array(np.zeros((4, 5, 6)), np.eye(4)), np.ones((4, 5, 6), np.uint8)
        >>> names = MaskMetadata({1: "csf"})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "mask.nrrd")
        ...     write_labels([labels], path, like=scan, dtype=labels.dtype, metadata=names)
        ...     open_volume(path).geometry.shape
        (4, 5, 6)
    """
    ending = next((end for end in WRITERS if path.name.lower().endswith(end)), None)
    if ending is None:
        msg = f"cannot write {path}: end its name in one of {', '.join(WRITERS)}"
        raise OutputError(msg)
    _load(WRITERS[ending])(slabs, path, like=like, dtype=dtype, metadata=metadata)


def open_volume(
    path: str | PathLike[str],
    *,
    channel: int | None = None,
    limits: Limits | None = None,
    series: SeriesSelection | None = None,
) -> Volume:
    """Open a volume; only its header is read.

    Args:
        path: The file, or a folder of DICOM files.
        channel: Take only this channel of a file with several, counted from 0.
        limits: What its header may claim; None = the default limits.
        series: Which series of a DICOM folder; None = the only one that can be meant.

    Raises:
        VolumeError: The file cannot be used, claims too much, or has no such channel; one line
            says why.

    Example:
        >>> import tempfile
        >>> import nibabel
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "scan.nii.gz")
        ...     nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4)), path)
        ...     volume = open_volume(path)
        ...     volume.geometry.shape, volume.read(0, 2, axis=2).shape
        ((4, 5, 6), (1, 4, 5, 2))
    """
    volume = _open(Path(path), channel, series or SeriesSelection())
    (limits or Limits()).check(volume)
    return volume


def _open(file: Path, channel: int | None, selection: SeriesSelection) -> Volume:
    ending = volume_ending(file)
    if is_dicom(file) or (file.is_dir() and holds_dicom(file)):
        return cast("Volume", _load(DICOM_OPENER)(file, channel=channel, selection=selection))
    if ending is None and not file.exists():
        msg = f"{file} does not exist; check the path"
        raise VolumeError(msg)
    if ending is None:
        msg = f"{file} has no ending that can be read; use one of {', '.join(OPENERS)}"
        raise VolumeError(msg)
    return cast("Volume", _load(OPENERS[ending.lower()])(file, channel=channel))


def _load(place: str | Callable[..., Any]) -> Callable[..., Any]:
    if not isinstance(place, str):
        return place
    module, function = place.split(":")
    return cast("Callable[..., Any]", getattr(importlib.import_module(module), function))
