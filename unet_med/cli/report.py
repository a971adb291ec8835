"""``unet-med report``: a page to look at what was segmented, without references."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Write report.html about an output folder of unet-med segment: each scan with its mask in three
planes, quality estimated per slice, and the slices to look at first. One file that needs no
network; above 12 MB of pictures, a folder report_cases/ with a page a case. Where there are
references, unet-med evaluate writes the same with scores. Exit code: 0, or 1 when some mask cannot
be shown."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "report", help="a page to look at what was segmented", description=_DESCRIPTION
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="output of unet-med segment")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="where to write (default: into FOLDER)"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="PATH",
        help="scans of the same names (default: those that the sidecars name)",
    )
    parser.add_argument(
        "--png",
        action="store_true",
        help="draw the slice with the lowest quality score of each label into DIR/report_png",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, nothing else")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the report and say where it is."""
    from unet_med import api

    written = api.report(
        args.folder,
        output=args.output,
        images=args.images,
        kinds=("html", "png") if args.png else ("html",),
    )
    if args.json:
        content = {"files": [str(path) for path in written.files], "failed": dict(written.failed)}
        print(json.dumps(content, indent=2))
    else:
        for case, error in written.failed.items():
            print(f"failed: {case}: {error}")
        for path in written.files:
            print(f"written: {path}")
    return 1 if written.failed else 0
