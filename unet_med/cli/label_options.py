"""Options that say which labels and slices are meant: shared by scoring and training."""

from __future__ import annotations

import argparse

SLICE_AXES = ("axial", "coronal", "sagittal", "thickest")
"""The names that ``unet_med.geometry`` knows, written out so that --help loads no NumPy."""


def add_label_names(group: argparse._ActionsContainer, *, purpose: str) -> None:
    """Describe ``--label-names``, which gives a table from value to name."""
    group.add_argument("--label-names", type=parse_label_names, metavar="1=a,2=b,…", help=purpose)


def add_region(group: argparse._ActionsContainer, *, purpose: str) -> None:
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
