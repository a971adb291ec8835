"""Which file ending is read by which module; modules load when first needed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, cast

from unet_med.errors import VolumeError
from unet_med.volumes.dicom_names import holds_dicom, is_dicom
from unet_med.volumes.limits import Limits, SeriesRule

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from unet_med.volumes.volume import Volume

    Opener = Callable[..., Volume]

_NIFTI = "unet_med.volumes.nifti:open_nifti"

OPENERS = {
    ".nii.gz": _NIFTI,
    ".nii": _NIFTI,
    ".hdr": _NIFTI,
    ".img": _NIFTI,
}
"""Opener per ending: ``module:function``, called as ``function(path, channel=channel)``."""

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


def open_volume(
    path: str | PathLike[str],
    *,
    channel: int | None = None,
    limits: Limits | None = None,
    series: SeriesRule | None = None,
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
    """
    volume = _open(Path(path), channel, series or SeriesRule())
    (limits or Limits()).check(volume)
    return volume


def _open(file: Path, channel: int | None, rule: SeriesRule) -> Volume:
    ending = volume_ending(file)
    if is_dicom(file) or (file.is_dir() and holds_dicom(file)):
        opener = _load(DICOM_OPENER)
        return opener(file, channel=channel, rule=rule)
    if ending is None:
        msg = f"{file} has no ending that can be read; use one of {', '.join(OPENERS)}"
        raise VolumeError(msg)
    return _load(OPENERS[ending.lower()])(file, channel=channel)


def _load(place: str) -> Opener:
    module, function = place.split(":")
    return cast("Opener", getattr(importlib.import_module(module), function))
