"""``unet-med train``: labeled scans and a time budget in, a bundle out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from unet_med.api.training import train
from unet_med.cli.parser import Command
from unet_med.cli.plan import BUDGET, GROUPS
from unet_med.cli.progress import case_progress_bar, print_result

if TYPE_CHECKING:
    import argparse

RUN = ("resume", "folds", "init", "precision", "workers", "tensorboard", "cache")
COMMAND = Command(
    train,
    groups={**GROUPS, "training run": RUN},
    exclusive=(BUDGET,),
    on_interrupt="stopped; the same command with --resume goes on from the last checkpoint",
)


def run(args: argparse.Namespace, options: dict[str, Any]) -> int:
    """Train, and say what came out."""
    logging.getLogger("unet_med").setLevel(logging.INFO)  # the course of the run is shown
    with case_progress_bar("read") as progress:
        result = train(**options, progress=progress, command_line=args.command_line)
    print_result(result, as_json=args.json)
    return 0
