"""``unet-med plan``: check a data set before a second is spent, and plan its training."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unet_med.api.training import plan
from unet_med.cli.parser import Command
from unet_med.cli.progress import case_progress_bar

if TYPE_CHECKING:
    import argparse

DATA = (
    "images", "labels", "datalist", "channels", "label_names", "region", "ignore", "skip_bad"
)  # fmt: skip
PLAN = (
    "minutes", "epochs", "steps", "memory_gb", "threads", "seed", "slice_axis", "spacing_mm",
    "sizes", "mirror", "deep_supervision", "val_fraction", "recipe", "plan",
)  # fmt: skip
GROUPS = {"data set": DATA, "training plan": PLAN}
BUDGET = ("minutes", "epochs", "steps")
COMMAND = Command(plan, groups=GROUPS, exclusive=(BUDGET,))

_NOTE = "fields in these files may be changed; unet-med train --recipe FILE --plan FILE takes them"


def run(args: argparse.Namespace, options: dict[str, Any]) -> int:
    """Check, plan, print, and return the exit code."""
    from unet_med.cli.format import print_planned

    with case_progress_bar("read") as progress:
        planned = plan(**options, progress=progress)
    if args.json:
        print(json.dumps(planned.as_dict(), indent=2))
    else:
        print_planned(planned)
        if args.output is not None and planned.plan is not None:
            print(f"\nwritten to {args.output}; {_NOTE}")
    return planned.exit_code
