"""Which file ending is read by which module; modules load when first needed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, cast

from unet_med.errors import VolumeError
from unet_med.volumes.limits import Limits

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
    path: str | PathLike[str], *, channel: int | None = None, limits: Limits | None = None
) -> Volume:
    """Open a volume; only its header is read.

    Args:
        path: The file.
        channel: Take only this channel of a file with several, counted from 0.
        limits: What its header may claim; None = the default limits.

    Raises:
        VolumeError: The file cannot be used, claims too much, or has no such channel; one line
            says why.
    """
    file = Path(path)
    ending = volume_ending(file)
    if ending is None:
        msg = f"{file} has no ending that can be read; use one of {', '.join(OPENERS)}"
        raise VolumeError(msg)
    module, function = OPENERS[ending.lower()].split(":")
    opener = cast("Opener", getattr(importlib.import_module(module), function))
    volume = opener(file, channel=channel)
    (limits or Limits()).check(volume)
    return volume
