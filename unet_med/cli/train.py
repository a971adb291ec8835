"""``unet-med train``: labeled scans and a time budget in, a bundle out."""

from __future__ import annotations

import json
import logging
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
Train a bundle on labeled scans. The data are checked and planned as by unet-med plan; the plan is
written into the bundle together with train.yaml, which is then run. Stopped at any moment,
--resume goes on to the same weights. With several processes:
torchrun --standalone --nproc_per_node=2 -m unet_med train …"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "train", help="train a bundle on labeled scans", description=_DESCRIPTION
    )
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="BUNDLE", help="new folder"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON summary, nothing else")
    add_data_options(parser)
    add_plan_options(parser)
    how = parser.add_argument_group("training run")
    how.add_argument("--resume", action="store_true", help="go on where its training stopped")
    how.add_argument(
        "--folds",
        type=int,
        metavar="K",
        help="cross-validate by patient: K bundles, every case scored by the one that has not seen "
        "it; the time is shared out",
    )
    how.add_argument("--init", type=Path, metavar="BUNDLE", help="start from its weights")
    how.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    how.add_argument(
        "--workers", type=int, default=0, metavar="N", help="processes for batches (default: none)"
    )
    how.add_argument(
        "--tensorboard",
        action="store_true",
        help="write event files into BUNDLE/runs/train/tensorboard as well",
    )
    how.add_argument("--cache", type=Path, metavar="DIR", help="keep the preprocessed slices here")
    parser.set_defaults(
        run=run,
        on_interrupt="stopped; the same command with --resume goes on from the last checkpoint",
    )


def run(args: argparse.Namespace) -> int:
    """Train, and say what came out."""
    from unet_med import api

    logging.getLogger("unet_med").setLevel(logging.INFO)  # the course of the run is shown

    with case_progress_bar("read") as progress:
        result = api.train(
            args.images,
            args.labels,
            args.output,
            source=data_source_from(args),
            settings=plan_settings_from(args, name=args.output.name or "trained"),
            folds=args.folds,
            resume=args.resume,
            init=args.init,
            cache=args.cache,
            workers=args.workers,
            precision=args.precision,
            tensorboard=args.tensorboard,
            command_line=args.command_line,
            progress=progress,
        )
    print(json.dumps(result.as_dict(), indent=2) if args.json else result.summary())
    return 0
