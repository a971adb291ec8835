"""Read the output folder of a batch: masks, sidecars, failed cases, and their scans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med._files import sha256_file
from unet_med.batch.destination import FILE_ENDINGS, sidecar_path
from unet_med.batch.ledger import LEDGER_NAME, Status, read_entries
from unet_med.batch.sidecar import mask_file_name, read_sidecar
from unet_med.errors import InputError
from unet_med.reporting import ScanFile, SegmentedCase, scans_in, write_segmentation_report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from unet_med.reporting import FindScan, WrittenReport


def read_output_folder(folder: Path) -> tuple[list[SegmentedCase], dict[str, str]]:
    """Read an output folder of ``unet-med segment``.

    Cases are found by their sidecars, so maps that lie beside masks are none.

    Returns:
        The masks, each named by relative folder and id with forward slashes; and why other
        cases failed, by case.

    Raises:
        InputError: There is no such folder, or it holds neither sidecars nor a ledger.
    """
    if not folder.is_dir():
        msg = f"{folder} is no folder; give an output folder of unet-med segment"
        raise InputError(msg)
    cases = []
    for path in sorted(folder.rglob("*.json")):
        inside = path.relative_to(folder)
        content = read_sidecar(path)
        name = mask_file_name(content)
        if name and not any(part.startswith(".") for part in inside.parts):
            mask = path.with_name(name)
            if mask.is_file():
                changed = sha256_file(mask) != content["mask"].get("sha256")
                case = inside.with_suffix("").as_posix()
                cases.append(SegmentedCase(case, mask, content, changed=changed))
    failed: dict[str, str] = {}
    for entry in read_entries(folder / LEDGER_NAME):
        failed.pop(entry.case, None)
        if entry.status is Status.FAILED:
            failed[entry.case] = entry.error or "no reason was written"
    if not cases and not failed:
        msg = f"{folder} holds no masks of unet-med segment (no sidecar, no ledger)"
        raise InputError(msg)
    return cases, failed


def report_output_folder(
    folder: Path, output: Path, *, find_scan: FindScan, kinds: Sequence[str]
) -> WrittenReport:
    """Write the report of an output folder; see `unet_med.api.report`."""
    cases, failed = read_output_folder(folder)
    return write_segmentation_report(cases, failed, output, find_scan=find_scan, kinds=kinds)


def scan_finder(images: str | PathLike[str] | None) -> FindScan:
    """Return what finds scans: by name in a folder, or without one by the masks' sidecars.

    Raises:
        InputError: The folder does not exist or holds no volume.
    """
    if images is not None:
        return scans_in(Path(images))

    def find(_case: str, prediction: Path | None) -> ScanFile:
        sidecar = {} if prediction is None else read_mask_sidecar(prediction)
        return scan_from_sidecar(sidecar) if sidecar else ScanFile()

    return find


def read_mask_sidecar(mask: Path) -> dict[str, Any]:
    """Return the content of the sidecar beside a mask; empty when there is none of ours."""
    if not mask.name.lower().endswith(FILE_ENDINGS):
        return {}
    content = read_sidecar(sidecar_path(mask))
    return content if mask_file_name(content) == mask.name else {}


def scan_from_sidecar(sidecar: dict[str, Any]) -> ScanFile:
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
