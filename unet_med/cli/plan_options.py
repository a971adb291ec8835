"""Options that say what is trained on and how: shared by ``plan`` and ``train``."""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from unet_med.cli.label_options import SLICE_AXES, add_label_names, add_region

if TYPE_CHECKING:
    from unet_med.planning import PlanSettings, Source

MIRROR_AXES = ("left-right", "anterior-posterior", "inferior-superior")


def add_source(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments that say what the data are."""
    group = parser.add_argument_group("what is trained on")
    group.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of scans; or an nnU-Net, Decathlon or BIDS data set with its label maps",
    )
    group.add_argument("--labels", type=Path, metavar="DIR", help="folder of label maps")
    group.add_argument(
        "--list", type=Path, metavar="FILE", help="CSV or JSON list of cases instead of folders"
    )
    group.add_argument(
        "--channels", type=parse_names, metavar="A,B,…", help="names of the channels, in order"
    )
    add_label_names(group, purpose="the labels to learn")
    add_region(group, purpose="learn this union of label values instead of single ones")
    group.add_argument(
        "--ignore", type=int, metavar="V", help="label value of voxels that nobody labeled"
    )
    group.add_argument(
        "--skip-bad", action="store_true", help="leave out cases with errors instead of stopping"
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments that say how is trained; all of them have defaults."""
    group = parser.add_argument_group("how is trained (default: decided from the data)")
    budget = group.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, metavar="M", help="wall time (default: 15)")
    budget.add_argument("--epochs", type=int, metavar="N", help="rounds through all slices")
    budget.add_argument("--steps", type=int, metavar="N", help="optimizer steps")
    group.add_argument(
        "--memory", type=float, default=4.0, metavar="GB", help="of a step (default: %(default)s)"
    )
    group.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    group.add_argument("--slice-axis", choices=SLICE_AXES)
    group.add_argument("--spacing", type=float, metavar="MM", help="in-plane spacing")
    group.add_argument(
        "--sizes", type=parse_sizes, metavar="16,32,…", help="channels per level of the network"
    )
    group.add_argument(
        "--mirror",
        type=parse_mirror,
        metavar="AXIS,…|none",
        help=f"mirror along these axes: {', '.join(MIRROR_AXES)}",
    )
    group.add_argument(
        "--augmentation",
        choices=("slices", "slabs"),
        default="slices",
        help="vary the scans' own slices, or draw random slabs of 3D-deformed heads "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--deep-supervision",
        action="store_true",
        help="train heads at the lower levels of the decoder, too; they are not saved",
    )
    group.add_argument(
        "--holdout",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="of the patients, never trained on (default: %(default)s)",
    )
    group.add_argument(
        "--recipe", type=Path, metavar="FILE", help="JSON with fields of recipe.json to change"
    )
    group.add_argument(
        "--plan", type=Path, metavar="FILE", help="JSON with fields of plan.json to change"
    )


def source_of(args: argparse.Namespace) -> Source:
    """Return what the arguments say of the data."""
    from unet_med.dataset import Naming
    from unet_med.planning import Source

    naming = Naming(
        channels=args.channels or (),
        labels=args.label_names or {},
        regions=dict(args.region),
        ignore=args.ignore,
    )
    return Source(
        images=args.images,
        labels=args.labels,
        list_file=args.list,
        naming=naming,
        skip_bad=args.skip_bad,
        recipe_file=args.recipe,
        plan_file=args.plan,
    )


def settings_of(args: argparse.Namespace, *, name: str = "trained") -> PlanSettings:
    """Return what the arguments say of the training.

    Args:
        args: Parsed arguments.
        name: Name of the bundle.
    """
    from unet_med.planning import PlanSettings

    return PlanSettings(
        name=name,
        minutes=args.minutes,
        epochs=args.epochs,
        steps=args.steps,
        memory_gb=args.memory,
        threads=args.threads,
        slice_axis=args.slice_axis,
        spacing_mm=args.spacing,
        sizes=args.sizes,
        mirror=args.mirror,
        holdout=args.holdout,
        augmentation=args.augmentation,
        deep_supervision=args.deep_supervision,
        seed=args.seed,
    )


def parse_names(text: str) -> tuple[str, ...]:
    """Parse ``T1,FLAIR``."""
    names = tuple(part.strip() for part in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        msg = f"{text!r} does not name channels; write for example T1,FLAIR"
        raise argparse.ArgumentTypeError(msg)
    return names


def parse_sizes(text: str) -> tuple[int, ...]:
    """Parse ``16,32,64,128``: each twice the one before."""
    parts = text.split(",")
    sizes = tuple(int(part) for part in parts if part.strip().isdecimal())
    doubled = all(after == 2 * before for before, after in pairwise(sizes))
    if len(sizes) != len(parts) or 0 in sizes or not doubled:
        msg = f"{text!r} are no sizes; each level has twice the channels: 16,32,64,128"
        raise argparse.ArgumentTypeError(msg)
    return sizes


def parse_mirror(text: str) -> tuple[str, ...]:
    """Parse ``left-right,inferior-superior`` or ``none``."""
    axes = () if text == "none" else tuple(part.strip() for part in text.split(","))
    if not set(axes) <= set(MIRROR_AXES):
        msg = f"{text!r} are no axes to mirror; write none or some of {','.join(MIRROR_AXES)}"
        raise argparse.ArgumentTypeError(msg)
    return axes
