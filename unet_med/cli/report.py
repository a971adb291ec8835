"""``unet-med report``: a page to look at what was segmented, without references."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unet_med.api.evaluation import report
from unet_med.cli.parser import Command

if TYPE_CHECKING:
    import argparse

COMMAND = Command(report, arguments=("folder",))


def run(args: argparse.Namespace, options: dict[str, Any]) -> int:
    """Write the report and say where it is."""
    written = report(**options)
    if args.json:
        content = {"files": [str(path) for path in written.files], "failed": dict(written.failed)}
        print(json.dumps(content, indent=2))
    else:
        for case, error in written.failed.items():
            print(f"failed: {case}: {error}")
        for path in written.files:
            print(f"written: {path}")
    return 1 if written.failed else 0
