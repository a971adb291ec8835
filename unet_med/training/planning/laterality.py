"""Along which anatomical axes training slices may be mirrored."""

from __future__ import annotations

import re
from statistics import mean
from typing import TYPE_CHECKING

import numpy as np

from unet_med.geometry import ANATOMICAL_AXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from unet_med.cases import CaseStats

SIDED_OFFSET = 0.1
"""A label whose center lies off the middle by more than this share of half the width, in every
case to the same side, has a side."""

_SIDE_WORDS = {
    "left",
    "right",
    "l",
    "r",
    "lh",
    "rh",
    "lt",
    "rt",
    "sin",
    "dex",
    "sinister",
    "dexter",
}


def plan_mirror(
    case_stats: Sequence[CaseStats], names: Mapping[int, str], *, anatomical: bool
) -> tuple[tuple[str, ...], str]:
    """Choose the axes along which slices may be mirrored.

    Args:
        case_stats: The cases.
        names: Label value → name.
        anatomical: Whether the scans are of a body in known units; else no axis means anything.

    Returns:
        Names of axes, and why.
    """
    if not anatomical:
        return ANATOMICAL_AXES, "mirrored along all axes: the scans have no sides"
    if sided := [name for name in names.values() if name_has_side(name)]:
        return (), f"not mirrored: label names have sides ({', '.join(sided[:3])})"
    placed = [names[value] for value in names if has_side(case_stats, value)]
    if placed:
        return (), f"not mirrored: on one side in every case lie {', '.join(placed[:3])}"
    return ("left-right",), "mirrored left to right: neither names nor places of labels have sides"


def name_has_side(name: str) -> bool:
    """Whether a label's name says left or right.

    Example:
        >>> name_has_side("Left-Hippocampus"), name_has_side("Frontal_Sup_R")
        (True, True)
        >>> name_has_side("liver")
        False
    """
    parts = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return bool(_SIDE_WORDS & set(re.split(r"[^a-z0-9]+", parts.lower())))


def has_side(case_stats: Iterable[CaseStats], value: int) -> bool:
    """Whether a label lies to the same side of the middle in every case that holds it."""
    offsets = [_offset(stats, value) for stats in case_stats if value in stats.labels]
    if not offsets:
        return False
    same = all(offset > 0 for offset in offsets) or all(offset < 0 for offset in offsets)
    return same and abs(mean(offsets)) > SIDED_OFFSET


def _offset(stats: CaseStats, value: int) -> float:
    """Return how far right of the scan's middle a label's center lies, in half widths."""
    assert stats.geometry is not None
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in stats.shape])).reshape(3, -1).T
    across = stats.geometry.world(corners)[:, 0]
    half = max(float(across.max() - across.min()) / 2, 1e-6)
    return (stats.labels[value].center_mm[0] - float(across.max() + across.min()) / 2) / half
