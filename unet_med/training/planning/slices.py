"""How the scans are cut into slices, at which spacing, and how many neighbors are seen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from unet_med.geometry import SLICE_ORIENTATIONS
from unet_med.geometry.layout import THICKEST_RATIO
from unet_med.preprocessing import Context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unet_med.cases import CaseStats

STACK_SHARE = 0.5
"""A volume with fewer planes along one axis than this share of both others is a stack of planes,
whatever its header says of the spacing."""

LARGEST_PATCH = 256
"""Pixels along a side of a training patch, at the most."""

SAME_SPACING = 0.01
"""Spacings that differ by less than this share are taken as equal."""

THICK_MM = 3.0
"""From this slice spacing on the neighbors show other anatomy: measured on no data here, it is
the thickness from which clinical protocols call slices thick."""

REACH_MM = 2.0
"""Least distance of the neighbors; nearer ones show nearly the same."""

NO_UNITS_MM = 0.05
"""Pixels smaller than this are microscopy: no clinical scanner resolves them."""

NO_UNITS_FIELD_MM = 1000.0
"""A slice wider than this is of no patient either: the header counts something else than mm."""

COARSE_MINUTES = 60.0
"""With less time than this, large structures are learned on coarser pixels (`plan_spacing`)."""

LARGEST_COARSENING = 2.0
SMALLEST_COARSENING = 1.1
"""Pixels are left as they are when they would grow by less."""

FEWEST_CHORD_PIXELS = 12.0
"""A line through a label still crosses so many coarser pixels, on average."""


@dataclass(frozen=True, slots=True)
class SlicePlan:
    """How scans become slices.

    Attributes:
        axis: The recipe's name of the slice axis.
        array_axes: Array axis of the slices, per case.
        notes: Why.
    """

    axis: str
    array_axes: tuple[int, ...]
    notes: tuple[str, ...]


def plan_slice_axis(case_stats: Sequence[CaseStats], override: str | None = None) -> SlicePlan:
    """Choose the slice axis: the thickest, else that of a stack of planes, else axial.

    All cases are cut alike if they agree; if each has its own thickest axis, ``thickest`` is
    taken; if only some have one, the anatomical axis that most of them have.

    Args:
        case_stats: The cases.
        override: The user's choice.
    """
    if override is not None:
        axes = tuple(_along(stats, override) for stats in case_stats)
        return SlicePlan(override, axes, (f"slices: {override}, as asked",))
    found = [_own_axis(stats) for stats in case_stats]
    names = Counter(
        SLICE_ORIENTATIONS[stats.world[axis]]
        for stats, (axis, _) in zip(case_stats, found, strict=True)
    )
    name = names.most_common(1)[0][0]
    reasons = {why for _, why in found}
    if len(names) > 1 and reasons == {"thickest"}:
        axes = tuple(axis for axis, _ in found)
        return SlicePlan("thickest", axes, ("slices: across the thickest axis of each case",))
    why = {
        "thickest": "the thickest axis",
        "stack": "the axis with far fewer planes than the others",
        "alike": "spacing and size single out no axis",
    }[Counter(why for _, why in found).most_common(1)[0][0]]
    share = "" if len(names) == 1 else f" in {names[name]} of {len(case_stats)} cases"
    axes = tuple(_along(stats, name) for stats in case_stats)
    return SlicePlan(name, axes, (f"slices: {name}, {why}{share}",))


def plan_spacing(
    case_stats: Sequence[CaseStats],
    axes: Sequence[int],
    *,
    override: float | None = None,
    minutes: float | None = None,
) -> tuple[float | None, str]:
    """Choose the in-plane spacing in mm: the median, or None (native) when all are equal.

    When time is short and what is labeled does not fit into the largest patch, pixels are
    coarser, at most twice, so that it fits; only for structures that many pixels still cross.

    Args:
        case_stats: The cases.
        axes: Array axis of the slices, per case.
        override: The user's choice.
        minutes: Time to train; None = it does not matter.
    """
    sizes = [size for pair in in_plane_mm(case_stats, axes) for size in pair]
    if override is not None:
        return override, f"in-plane spacing: {override:g} mm, as asked"
    middle = float(f"{median(sizes):.4g}")
    factor = 1.0
    if minutes is not None and minutes < COARSE_MINUTES:
        factor = _coarsening(case_stats, axes, middle)
    if factor >= SMALLEST_COARSENING:
        coarse = float(f"{factor * middle:.3g}")
        return coarse, (
            f"in-plane spacing: {coarse:g} mm instead of {middle:g} mm: in {minutes:g} minutes "
            "large structures are learned better when all of them is seen at once"
        )
    if max(sizes) - min(sizes) <= SAME_SPACING * min(sizes):
        return None, f"in-plane spacing: native, all slices have {middle:g} mm"
    ends = f"{min(sizes):.3g} to {max(sizes):.3g}"
    return middle, f"in-plane spacing: {middle:g} mm, the median of {ends}"


def _coarsening(case_stats: Sequence[CaseStats], axes: Sequence[int], pixel_mm: float) -> float:
    """Return by how much pixels may be coarser so that what is labeled fits into a patch."""
    wanted = [
        max(_others(stats.labeled.extent_mm, axis)) / pixel_mm / LARGEST_PATCH
        for stats, axis in zip(case_stats, axes, strict=True)
        if stats.labeled is not None
    ]
    return min(median(wanted), _most_coarse(case_stats, axes, pixel_mm))


def _most_coarse(case_stats: Sequence[CaseStats], axes: Sequence[int], pixel_mm: float) -> float:
    """Return by how much pixels may be coarser so that the labels are still drawn well."""
    allowed = [
        min(_others(stats.chords_mm, axis)) / pixel_mm / FEWEST_CHORD_PIXELS
        for stats, axis in zip(case_stats, axes, strict=True)
        if stats.chords_mm is not None
    ]
    return min(median(allowed), LARGEST_COARSENING) if allowed else 1.0


def plan_coarser_spacing(
    case_stats: Sequence[CaseStats],
    axes: Sequence[int],
    spacing_mm: float | None,
    *,
    share: float,
) -> tuple[float, str] | None:
    """Choose coarser pixels when even the smallest network would see too little in the time.

    On the training parts of made sets, steps of equal cost, Dice of the held-out case: ten organs
    0.90 at 2.4 mm and 0.76 at the scans' 1.2 mm, brain tissue on thick slices 0.82 at 1.26 mm and
    0.78 at 0.9 mm (docs/training.md).

    Args:
        case_stats: The cases.
        axes: Array axis of the slices, per case.
        spacing_mm: In-plane spacing chosen so far; None = native.
        share: Pixels that are seen, of those that should be; below 1.

    Returns:
        The spacing in mm and why; None when pixels are better left as they are.
    """
    middle = float(f"{median(size for pair in in_plane_mm(case_stats, axes) for size in pair):.4g}")
    now = spacing_mm or middle
    factor = min(share**-0.5 * now / middle, _most_coarse(case_stats, axes, middle))
    coarse = float(f"{factor * middle:.3g}")
    if coarse < SMALLEST_COARSENING * now:
        return None
    return coarse, (
        f"in-plane spacing: {coarse:g} mm instead of {middle:g} mm: in this time more slices are "
        f"seen so; with more time it would be finer, --spacing-mm {middle:g} wants it in any case"
    )


def plan_context(case_stats: Sequence[CaseStats], axes: Sequence[int]) -> tuple[Context, str]:
    """Choose the neighboring slices that the network sees: two, or none for thick slices."""
    distance = median(slice_mm(case_stats, axes))
    if no_units(case_stats, axes):
        return Context(), "context: none, the spacing is not known in mm"
    if distance > THICK_MM:
        return Context(), f"context: none, slices are {distance:.3g} mm apart"
    if min(stats.shape[axis] for stats, axis in zip(case_stats, axes, strict=True)) == 1:
        return Context(), "context: none, there are scans of one slice"
    reach = float(f"{max(distance, REACH_MM):.3g}")
    return Context(3, reach), f"context: one slice at each side, {reach:g} mm away"


def no_units(case_stats: Sequence[CaseStats], axes: Sequence[int]) -> bool:
    """Whether spacings say nothing: microscopy, or the default of 1 × 1 × 1 on a stack."""
    return all(
        _is_microscopy(stats, axis) or _is_unknown(stats, axis)
        for stats, axis in zip(case_stats, axes, strict=True)
    )


def slice_mm(case_stats: Sequence[CaseStats], axes: Sequence[int]) -> list[float]:
    """Return the slice spacing of each case in mm."""
    return [stats.spacing_mm[axis] for stats, axis in zip(case_stats, axes, strict=True)]


def in_plane_mm(case_stats: Sequence[CaseStats], axes: Sequence[int]) -> list[tuple[float, float]]:
    """Return the two in-plane spacings of each case in mm, in the order of the array axes."""
    return [_others(stats.spacing_mm, axis) for stats, axis in zip(case_stats, axes, strict=True)]


def in_plane_size(
    case_stats: Sequence[CaseStats], axes: Sequence[int]
) -> list[tuple[float, float]]:
    """Return the two in-plane field sizes of each case in mm, in the order of the array axes."""
    sides = [
        tuple(n * mm for n, mm in zip(stats.shape, stats.spacing_mm, strict=True))
        for stats in case_stats
    ]
    return [_others(side, axis) for side, axis in zip(sides, axes, strict=True)]


def _others(values: Sequence[float], axis: int) -> tuple[float, float]:
    first, second = (value for other, value in enumerate(values) if other != axis)
    return float(first), float(second)


def _own_axis(stats: CaseStats) -> tuple[int, str]:
    """Return a case's own slice axis and why it is: thickest, a stack, or all axes alike."""
    order = sorted(range(3), key=lambda axis: -stats.spacing_mm[axis])
    if stats.spacing_mm[order[0]] > THICKEST_RATIO * stats.spacing_mm[order[1]]:
        return order[0], "thickest"
    fewest = sorted(range(3), key=lambda axis: stats.shape[axis])
    if stats.shape[fewest[0]] < STACK_SHARE * stats.shape[fewest[1]]:
        return fewest[0], "stack"
    return stats.world.index(SLICE_ORIENTATIONS.index("axial")), "alike"


def _along(stats: CaseStats, name: str) -> int:
    if name == "thickest":
        axis, why = _own_axis(stats)
        return axis if why == "thickest" else stats.world.index(SLICE_ORIENTATIONS.index("axial"))
    return stats.world.index(SLICE_ORIENTATIONS.index(name))


def _is_microscopy(stats: CaseStats, axis: int) -> bool:
    sides = [n * mm for n, mm in zip(stats.shape, stats.spacing_mm, strict=True)]
    widest = max(_others(sides, axis))
    return sorted(stats.spacing_mm)[1] < NO_UNITS_MM or widest > NO_UNITS_FIELD_MM


def _is_unknown(stats: CaseStats, axis: int) -> bool:
    rest = _others(stats.shape, axis)
    is_stack = stats.shape[axis] < STACK_SHARE * min(rest)
    return is_stack and all(abs(size - 1.0) < 1e-6 for size in stats.spacing_mm)  # noqa: PLR2004 - float32 header
