"""What lies in an output folder of a batch: masks with their sidecars, and cases that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet_med._files import sha256_file
from unet_med.batch.ledger import LEDGER_NAME, Status, read_entries
from unet_med.batch.sidecar import mask_named, read_sidecar
from unet_med.errors import InputError
from unet_med.reporting import SegmentedCase, write_segmentation_report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from unet_med.reporting import FindScan, Written


def read_finished(folder: Path) -> tuple[list[SegmentedCase], dict[str, str]]:
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
        name = mask_named(content)
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


def report_folder(
    folder: Path, output: Path, *, find_scan: FindScan, kinds: Sequence[str]
) -> Written:
    """Write the report of an output folder; see `unet_med.api.report`."""
    cases, failed = read_finished(folder)
    return write_segmentation_report(cases, failed, output, find_scan=find_scan, kinds=kinds)
