"""``unet-med verify``: check that a mask has the grid and header of its scan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unet_med.api.inspection import verify
from unet_med.cli.parser import Command

if TYPE_CHECKING:
    import argparse

COMMAND = Command(verify, arguments=("scan", "mask"))


def run(args: argparse.Namespace, options: dict[str, Any]) -> int:
    """Print "verified", or each difference."""
    found = verify(**options)
    if args.json:
        print(json.dumps(found.as_dict(), indent=2))
    elif found:
        print(f"verified: {args.mask} lies on {args.scan}")
    else:
        print("\n".join(found.differences))
    return found.exit_code
