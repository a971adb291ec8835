"""Options that several commands share: how the network runs, labels, data sets, plans."""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from unet_med.backends import BACKENDS, PRECISIONS
from unet_med.geometry import ANATOMICAL_AXES, SLICE_AXIS_NAMES

if TYPE_CHECKING:
    from unet_med.api import ExecutionOptions
    from unet_med.training.planning import PlanSettings, SourceData


def add_execution_options(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments that say how the network is run."""
    group = parser.add_argument_group("execution")
    group.add_argument(
        "-b",
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


def execution_options_from(
    args: argparse.Namespace, *, memory_gb: float | None = None
) -> ExecutionOptions:
    """Return what the arguments say, but the bundle; ``memory_gb`` as for `unet_med.load`."""
    return {
        "tta": args.tta,
        "device": args.device,
        "backend": args.backend,
        "precision": args.precision,
        "threads": args.threads,
        "memory_gb": memory_gb,
    }


def add_label_names_option(group: argparse._ActionsContainer, *, purpose: str) -> None:
    """Describe ``--label-names``, which gives a table from value to name."""
    group.add_argument("--label-names", type=parse_label_names, metavar="1=a,2=b,…", help=purpose)


def add_region_option(group: argparse._ActionsContainer, *, purpose: str) -> None:
    """Describe ``--region``, which gives a list of names with their label values."""
    group.add_argument(
        "--region",
        type=parse_region,
        action="append",
        default=[],
        metavar="NAME=1,2,…",
        help=f"{purpose}; may be given several times",
    )


def parse_labels(text: str) -> tuple[int, ...]:
    """Parse ``1,2,7``."""
    try:
        return tuple(int(value) for value in text.split(","))
    except ValueError as exc:
        msg = f"{text!r} is no list of label values; write for example 1,2,7"
        raise argparse.ArgumentTypeError(msg) from exc


def parse_label_names(text: str) -> dict[int, str]:
    """Parse ``1=csf,2=gray matter``."""
    pairs = [part.partition("=") for part in text.split(",")]
    try:
        names = {int(value): name.strip() for value, _, name in pairs}
    except ValueError:
        names = {}
    if len(names) != len(pairs) or not all(names.values()):
        msg = f"{text!r} names no labels; write for example 1=csf,2=gray matter"
        raise argparse.ArgumentTypeError(msg)
    return names


def parse_region(text: str) -> tuple[str, tuple[int, ...]]:
    """Parse ``whole=1,2,3``."""
    name, _, values = text.partition("=")
    if not name.strip() or not values:
        msg = f"{text!r} is no region; write for example whole=1,2,3"
        raise argparse.ArgumentTypeError(msg)
    return name.strip(), parse_labels(values)


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments that say what the data are."""
    group = parser.add_argument_group("data set")
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
        "--channels", type=parse_channels, metavar="A,B,…", help="names of the channels, in order"
    )
    add_label_names_option(group, purpose="the labels to learn")
    add_region_option(group, purpose="learn this union of label values instead of single ones")
    group.add_argument(
        "--ignore", type=int, metavar="V", help="label value of voxels that nobody labeled"
    )
    group.add_argument(
        "--skip-bad", action="store_true", help="leave out cases with errors instead of stopping"
    )


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments that say how is trained; all of them have defaults."""
    group = parser.add_argument_group("training plan (default: decided from the data)")
    budget = group.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, metavar="M", help="wall time (default: 15)")
    budget.add_argument("--epochs", type=int, metavar="N", help="passes through all slices")
    budget.add_argument("--steps", type=int, metavar="N", help="optimizer steps")
    group.add_argument(
        "--memory", type=float, default=4.0, metavar="GB", help="of a step (default: %(default)s)"
    )
    group.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    group.add_argument("--slice-axis", choices=SLICE_AXIS_NAMES)
    group.add_argument("--spacing", type=float, metavar="MM", help="in-plane spacing")
    group.add_argument(
        "--sizes", type=parse_sizes, metavar="16,32,…", help="channels per level of the network"
    )
    group.add_argument(
        "--mirror",
        type=parse_mirror,
        metavar="AXIS,…|none",
        help=f"mirror along these axes: {', '.join(ANATOMICAL_AXES)}",
    )
    group.add_argument(
        "--deep-supervision",
        action="store_true",
        help="train heads at the lower levels of the decoder, too; they are not saved",
    )
    group.add_argument(
        "--val-fraction",
        type=float,
        default=0.2,
        metavar="FRACTION",
        help="of the patients, never trained on (default: %(default)s)",
    )
    group.add_argument(
        "--recipe", type=Path, metavar="FILE", help="JSON with fields of recipe.json to change"
    )
    group.add_argument(
        "--plan", type=Path, metavar="FILE", help="JSON with fields of plan.json to change"
    )


def data_source_from(args: argparse.Namespace) -> SourceData:
    """Return what the arguments say of the data."""
    from unet_med.cases import DatasetInfo
    from unet_med.training.planning import SourceData

    info = DatasetInfo(
        channels=args.channels or (),
        labels=args.label_names or {},
        regions=dict(args.region),
        ignore=args.ignore,
    )
    return SourceData(
        images=args.images,
        labels=args.labels,
        list_file=args.list,
        info=info,
        skip_bad=args.skip_bad,
        recipe_file=args.recipe,
        plan_file=args.plan,
    )


def plan_settings_from(args: argparse.Namespace, *, name: str = "trained") -> PlanSettings:
    """Return what the arguments say of the training.

    Args:
        args: Parsed arguments.
        name: Name of the bundle.
    """
    from unet_med.training.planning import PlanSettings

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
        mirror_axes=args.mirror,
        val_fraction=args.val_fraction,
        deep_supervision=args.deep_supervision,
        seed=args.seed,
    )


def parse_channels(text: str) -> tuple[str, ...]:
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
    if not set(axes) <= set(ANATOMICAL_AXES):
        msg = f"{text!r} are no axes to mirror; write none or some of {','.join(ANATOMICAL_AXES)}"
        raise argparse.ArgumentTypeError(msg)
    return axes
