"""Which scan a mask was made from, as its sidecar says, for whoever shows the mask on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med._files import sha256_file
from unet_med.batch.destination import FILE_ENDINGS, sidecar_path
from unet_med.batch.sidecar import mask_named, read_sidecar
from unet_med.reporting import ScanFile, scans_in

if TYPE_CHECKING:
    from os import PathLike

    from unet_med.reporting import FindScan


def scan_finder(images: str | PathLike[str] | None) -> FindScan:
    """Return what finds scans: by name in a folder, or without one by the masks' sidecars.

    Raises:
        InputError: The folder does not exist or holds no volume.
    """
    if images is not None:
        return scans_in(Path(images))

    def find(_case: str, prediction: Path | None) -> ScanFile:
        sidecar = {} if prediction is None else sidecar_of(prediction)
        return scan_in_sidecar(sidecar) if sidecar else ScanFile()

    return find


def sidecar_of(mask: Path) -> dict[str, Any]:
    """Return the content of the sidecar beside a mask; empty when there is none of ours."""
    if not mask.name.lower().endswith(FILE_ENDINGS):
        return {}
    content = read_sidecar(sidecar_path(mask))
    return content if mask_named(content) == mask.name else {}


def scan_in_sidecar(sidecar: dict[str, Any]) -> ScanFile:
    """Return the scan that a mask was made from, if it is still the same file.

    Of a case of several files the first is taken.
    """
    inputs = sidecar.get("inputs") or [{}]
    named, digest = inputs[0].get("path"), inputs[0].get("sha256")
    if not named:
        return ScanFile(note="The sidecar names no scan.")
    path = Path(named)
    try:
        same = sha256_file(path) == digest
    except OSError:
        return ScanFile(
            note=f"The scan {path} is not there any more: --images FOLDER names another."
        )
    if not same:
        return ScanFile(
            note=f"The scan {path} is not the one that was segmented: its digest differs."
        )
    return ScanFile(path, sidecar.get("channel"), note="")
