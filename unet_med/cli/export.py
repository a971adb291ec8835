"""``unet-med export``: models for faster runtimes, with precision reports."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from unet_med.api.bundles import export
from unet_med.cli.format import format_number, print_table
from unet_med.cli.parser import Command
from unet_med.cli.progress import print_stderr

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from unet_med.exporting import ExportResult
    from unet_med.recipe import VerifiedPrecision

COMMAND = Command(export, hidden=frozenset({"log"}))

_COLUMNS = (
    "backend",
    "precision",
    "verified",
    "agreement",
    "max Δlogit",
    "voxels changed",
    "ΔDice",
)


def run(args: argparse.Namespace, options: dict[str, Any]) -> int:
    """Export, and print what was measured."""
    result = export(**options, log=print_stderr)
    if args.json:
        print(json.dumps(_content(result), indent=2))
        return 0
    for file in result.files:
        print(f"{result.root / file}")
    _print_precisions(result.precisions, absent=result.missing_labels)
    return 0


def _content(result: ExportResult) -> dict[str, Any]:
    return {
        "bundle": str(result.root),
        "files": list(result.files),
        "precisions": [asdict(entry) for entry in result.precisions],
        "missing_labels": list(result.missing_labels),
    }


def _print_precisions(precisions: Sequence[VerifiedPrecision], *, absent: Sequence[str]) -> None:
    """Print a table of what was measured against torch in fp32."""
    if not precisions:
        print("nothing was measured, so --precision auto stays at fp32: name scans with --scans")
        return
    rows = [
        (
            entry.backend,
            entry.precision,
            "yes" if entry.verified else "no",
            format_number(entry.agreement, ".5f"),
            format_number(entry.max_logit_difference, ".2g"),
            format_number(entry.voxels_changed, ".2g"),
            format_number(entry.dice_change, "+.5f"),
        )
        for entry in precisions
    ]
    title = f"compared with torch in fp32 on {precisions[0].n_slices} slices:"
    print_table(title, _COLUMNS, rows=rows)
    if absent:
        print(
            f"not verified, as no slice held {', '.join(absent)}: name scans that do with --scans, "
            "or measure more slices with --slices"
        )
