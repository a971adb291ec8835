"""Options that say how the network is run: shared by ``segment`` and ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unet_med.backends import BACKENDS, PRECISIONS

if TYPE_CHECKING:
    import argparse

    from unet_med.api import ExecutionOptions


def add_execution(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments that say how the network is run."""
    group = parser.add_argument_group("how the network is run")
    group.add_argument(
        "--bundle",
        type=Path,
        action="append",
        metavar="DIR",
        help="given more than once, their mean is taken (an ensemble); default: the one shipped",
    )
    group.add_argument(
        "--tta",
        default="recipe",
        metavar="recipe|none|AXES",
        help="average over mirrored slices; axes joined by commas: left-right, "
        "anterior-posterior, inferior-superior",
    )
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    group.add_argument("--backend", choices=("auto", *BACKENDS), default="auto")
    group.add_argument("--precision", choices=("auto", *PRECISIONS), default="auto")
    group.add_argument("--threads", type=int, metavar="N", help="CPU threads; default: all")


def execution_of(args: argparse.Namespace, *, memory_gb: float | None = None) -> ExecutionOptions:
    """Return what the arguments say, but the bundle; ``memory_gb`` as for `unet_med.load`."""
    return {
        "tta": args.tta,
        "device": args.device,
        "backend": args.backend,
        "precision": args.precision,
        "threads": args.threads,
        "memory_gb": memory_gb,
    }
