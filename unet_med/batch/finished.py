"""What lies in an output folder of a batch: masks with their sidecars, and cases that failed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unet_med._files import sha256_file
from unet_med.batch.ledger import LEDGER_NAME, Status, read_entries
from unet_med.batch.sidecar import PROGRAM
from unet_med.errors import InputError
from unet_med.reporting import SegmentedCase, write_segmentation_report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from unet_med.reporting import FindScan, Written


@dataclass(frozen=True, slots=True)
class FinishedCase:
    """A mask and its sidecar.

    Attributes:
        case: Relative folder and id, with forward slashes.
        mask: The mask file.
        sidecar: The sidecar's content; empty when there is none.
    """

    case: str
    mask: Path
    sidecar: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FinishedFolder:
    """An output folder.

    Attributes:
        cases: What was written, by case.
        failed: Why others were not, by case.
    """

    cases: tuple[FinishedCase, ...]
    failed: dict[str, str]


def read_finished(folder: Path) -> FinishedFolder:
    """Read an output folder of ``unet-med segment``.

    Cases are found by their sidecars, so maps that lie beside masks are none.

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
        if content and not any(part.startswith(".") for part in inside.parts):
            mask = path.with_name(str(content["mask"]["file"]))
            if mask.is_file():
                cases.append(FinishedCase(inside.with_suffix("").as_posix(), mask, content))
    failed: dict[str, str] = {}
    for entry in read_entries(folder / LEDGER_NAME):
        failed.pop(entry.case, None)
        if entry.status is Status.FAILED:
            failed[entry.case] = entry.error or "no reason was written"
    if not cases and not failed:
        msg = f"{folder} holds no masks of unet-med segment (no sidecar, no ledger)"
        raise InputError(msg)
    return FinishedFolder(tuple(cases), failed)


def read_sidecar(path: Path) -> dict[str, Any]:
    """Return a sidecar's content; empty when the file is missing or none of ours."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        ours = content["program"]["name"] == PROGRAM and isinstance(content["mask"]["file"], str)
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return content if ours else {}


def report_folder(
    folder: Path, output: Path, *, find_scan: FindScan, kinds: Sequence[str]
) -> Written:
    """Write the report of an output folder; see `unet_med.api.report`."""
    found = read_finished(folder)
    cases = [
        SegmentedCase(
            one.case,
            one.mask,
            one.sidecar,
            changed=sha256_file(one.mask) != one.sidecar["mask"].get("sha256"),
        )
        for one in found.cases
    ]
    return write_segmentation_report(cases, found.failed, output, find_scan=find_scan, kinds=kinds)
