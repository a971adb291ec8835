"""``unet-med export``: models for faster runtimes, with precision reports."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med.cli.progress import print_stderr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unet_med.bundle import Bundle
    from unet_med.export.exporter import ExportResult
    from unet_med.export.samples import Scan
    from unet_med.recipe import VerifiedPrecision

_DESCRIPTION = """\
Make models/openvino (and models/model.onnx) from a bundle's weights, for the fast CPU backend.
Each precision is compared with torch in fp32 on slices of real scans. What was measured goes into
the bundle's recipe: --precision auto takes only precisions that were verified so. An export is
replaced as a whole: without --int8 it holds no int8 model."""

_COLUMNS = (
    "backend",
    "precision",
    "verified",
    "agreement",
    "max Δlogit",
    "voxels changed",
    "ΔDice",
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "export", help="make the fast models of a bundle", description=_DESCRIPTION
    )
    parser.add_argument("-b", "--bundle", type=Path, metavar="DIR", help="default: the one shipped")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="copy the bundle there, with the export"
    )
    parser.add_argument(
        "--formats", type=parse_formats, default=("openvino",), metavar="openvino,onnx"
    )
    parser.add_argument(
        "--int8", type=Path, metavar="SCANS", help="also make int8, calibrated on these scans"
    )
    parser.add_argument(
        "--scans",
        type=Path,
        metavar="SCANS",
        help="scans to measure on (default: those of --int8, else the bundle's demo scan)",
    )
    parser.add_argument(
        "--references", type=Path, metavar="MASKS", help="their references, with the same names"
    )
    parser.add_argument(
        "--slices", type=int, default=64, metavar="N", help="slices to measure on (default: 64)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads; default: all")
    parser.add_argument("--json", action="store_true", help="print JSON, nothing else")
    parser.set_defaults(run=run)


def parse_formats(text: str) -> tuple[str, ...]:
    """Parse ``openvino,onnx``."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        msg = "name at least one format: openvino, onnx"
        raise argparse.ArgumentTypeError(msg)
    return names


def run(args: argparse.Namespace) -> int:
    """Export, and print what was measured."""
    from unet_med.bundle import open_bundle
    from unet_med.export import ExportSettings, export_bundle

    bundle = open_bundle(args.bundle)
    settings = ExportSettings(
        formats=args.formats,
        calibration=_scans(bundle, args.int8, None),
        scans=_scans_to_measure(bundle, args),
        n_slices=args.slices,
        threads=args.threads,
        output=args.output,
    )
    result = export_bundle(bundle, settings, say=print_stderr)
    if args.json:
        print(json.dumps(_content(result), indent=2))
        return 0
    for file in result.files:
        print(f"{result.root / file}")
    _print_precisions(result.precisions, absent=result.missing_labels)
    return 0


def _scans_to_measure(bundle: Bundle, args: argparse.Namespace) -> tuple[Scan, ...]:
    if args.scans is not None or args.int8 is not None:
        return _scans(bundle, args.scans or args.int8, args.references)
    demo = bundle.root / "sample_data" / "demo"
    if not (demo / "images").is_dir():
        return ()
    references = demo / "labels"
    return _scans(bundle, demo / "images", references if references.is_dir() else None)


def _scans(bundle: Bundle, source: Path | None, references: Path | None) -> tuple[Scan, ...]:
    """Find scans by the rule that every command finds cases by."""
    if source is None:
        return ()
    from unet_med.cases import find_cases, find_masks
    from unet_med.errors import InputError
    from unet_med.evaluation.pairing import match_reference_names
    from unet_med.export.samples import Scan

    names = [channel.name for channel in bundle.recipe.channels]
    found = find_cases([source], n_channels=len(names), output=None, channel_names=names)
    for case in found.cases:
        if case.problem:
            raise InputError(case.problem)
    masks = {} if references is None else find_masks(references)
    cases = match_reference_names({case.key: case for case in found.cases}, masks)
    scans = [Scan(case.paths, next(iter(masks.get(key, [])), None)) for key, case in cases.items()]
    if references is not None and not any(scan.reference for scan in scans):
        msg = f"no mask in {references} has the name of a scan in {source}, as {found.cases[0].id}"
        raise InputError(msg)
    return tuple(scans)


def _content(result: ExportResult) -> dict[str, Any]:
    from dataclasses import asdict

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
            _number(entry.agreement, ".5f"),
            _number(entry.max_logit_difference, ".2g"),
            _number(entry.voxels_changed, ".2g"),
            _number(entry.dice_change, "+.5f"),
        )
        for entry in precisions
    ]
    print(f"compared with torch in fp32 on {precisions[0].n_slices} slices:")
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    for row in (_COLUMNS, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  " + "  ".join(cells).rstrip())
    if absent:
        print(
            f"not verified, as no slice held {', '.join(absent)}: name scans that do with --scans, "
            "or measure more slices with --slices"
        )


def _number(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)
