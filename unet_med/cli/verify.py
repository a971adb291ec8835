"""``unet-med verify``: check that a mask has the grid and header of its scan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Compare a mask with its scan: grid, header fields bit for bit, voxel type and label values.
Exit code 0 = verified, 1 = they differ, 2 = a file cannot be read."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "verify", help="check that a mask lies on its scan", description=_DESCRIPTION
    )
    parser.add_argument("scan", type=Path, metavar="SCAN")
    parser.add_argument("mask", type=Path, metavar="MASK")
    parser.add_argument("--json", action="store_true", help="print JSON, nothing else")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print "verified", or each difference."""
    from unet_med.volumes import verify_mask

    differences = verify_mask(args.scan, args.mask)
    if args.json:
        print(json.dumps({"verified": not differences, "differences": differences}, indent=2))
    elif differences:
        for difference in differences:
            print(difference)
    else:
        print(f"verified: {args.mask} lies on {args.scan}")
    return 1 if differences else 0
