"""``unet-med plan``: check a data set before a second is spent, and plan its training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from unet_med.cli.options import (
    add_data_options,
    add_plan_options,
    data_source_from,
    plan_settings_from,
)
from unet_med.cli.progress import case_progress_bar

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Read every scan and label map once: pairs, grids, label values, NaN, duplicates, patients. Then plan
how to train: slices, spacing, normalization, network and batch for the time and the memory, and say
why. With --output a folder, its configs/recipe.json and configs/plan.json are written, to be edited
and trained by unet-med train; a name that ends in .json gets everything in one file. Exit code: 0
training could start, 2 it could not."""

_NOTE = "fields in these files may be changed; unet-med train --recipe FILE --plan FILE takes them"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "plan", help="check a data set and plan its training", description=_DESCRIPTION
    )
    add_data_options(parser)
    add_plan_options(parser)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="PATH", help="bundle folder or .json file to write"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, nothing else")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check, plan, print, and return the exit code."""
    from unet_med import api
    from unet_med.cli.format import print_planned

    name = "trained" if args.output is None else args.output.name.removesuffix(".json")
    with case_progress_bar("read") as progress:
        planned = api.plan(
            source=data_source_from(args),
            settings=plan_settings_from(args, name=name or "trained"),
            output=args.output,
            progress=progress,
        )
    if args.json:
        print(json.dumps(planned.as_dict(), indent=2))
    else:
        print_planned(planned)
        if args.output is not None and planned.plan is not None:
            print(f"\nwritten to {args.output}; {_NOTE}")
    return planned.exit_code
