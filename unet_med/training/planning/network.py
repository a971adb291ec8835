"""Size of the network, of its patches and of a batch, for the time and the memory that there is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from unet_med.geometry import slice_layout
from unet_med.training.planning.slices import LARGEST_PATCH, plan_coarser_spacing, plan_spacing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unet_med.cases import CaseStats
    from unet_med.training.planning.settings import PlanSettings

    Probe = Callable[["StepShape"], float]
    from unet_med.training.planning.slices import SlicePlan

SMALLEST_PATCH = 96


AROUND_LABELS = 1.3
"""A patch is this much larger than what is labeled in a slice: borders need their surroundings."""


PIXELS_PER_STEP = 180_000
"""Three slices of 240 × 240. Of equally many slices, more and smaller steps learn more in a short
run: 1000 slices of the made tumor set at 3 mm, 8 to 64 channels per level, ended at a loss of
0.76 in batches of two and 0.82 in batches of three, in one run each on the training part."""


SMALLEST_BATCH, LARGEST_BATCH = 2, 32


BASES = (16, 32, 64)
"""Channels of the first level to choose from."""


DEFAULT_BASE = 32
"""Taken when the budget is no time."""


N_LEVELS = 4


FEWEST_PIXELS = 1.5e8
"""A network is affordable when it sees at least so many pixels in the time: 2600 slices of
240 × 240. A larger one that sees fewer learns less."""


TRAINING_SHARE = 0.75
"""Share of the minutes that is left for steps: reading, validation and export take the rest."""


BYTES_PER_CHANNEL = 48
"""Memory of a training step per pixel and channel of each level, at its resolution: two times two
convolutions with normalization and activation keep about twelve float32 values."""


@dataclass(frozen=True, slots=True)
class StepShape:
    """What a training step computes on.

    Attributes:
        sizes: Channels per level.
        in_channels, out_channels: Of the network.
        patch_size: Rows and columns.
        batch_size: Patches per step.
        threads: CPU threads; None = all.
    """

    sizes: tuple[int, ...]
    in_channels: int
    out_channels: int
    patch_size: tuple[int, int]
    batch_size: int
    threads: int | None = None

    @property
    def memory_gb(self) -> float:
        """Rough memory of one training step."""
        channels = sum(2.0 * size / (1 << 2 * level) for level, size in enumerate(self.sizes))
        pixels = self.batch_size * self.patch_size[0] * self.patch_size[1]
        return pixels * (channels + self.in_channels) * BYTES_PER_CHANNEL / 1e9


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What was chosen, and how much it will see.

    Attributes:
        shape: Network, patch and batch.
        notes: Why.
        share: Pixels seen in the time, of `FEWEST_PIXELS`; None = no time was stated or measured.
    """

    shape: StepShape
    notes: tuple[str, ...]
    share: float | None = None


def plan_patch_size(
    case_stats: Sequence[CaseStats], axis: str, spacing_mm: float | None
) -> tuple[tuple[int, int], str]:
    """Choose rows and columns of a training patch.

    Large enough for what is labeled in most cases and some surroundings, never larger than
    the slices, in multiples of 16.

    Args:
        case_stats: The cases.
        axis: The recipe's slice axis.
        spacing_mm: In-plane spacing of the network; None = native.
    """
    slices: list[tuple[float, float]] = []
    labeled: list[tuple[float, float]] = []
    for stats in case_stats:
        assert stats.geometry is not None
        _, row, column = slice_layout(stats.geometry, axis).axes
        pixel = [spacing_mm or stats.spacing_mm[a] for a in (row, column)]
        sides = [stats.shape[a] * stats.spacing_mm[a] for a in (row, column)]
        slices.append((sides[0] / pixel[0], sides[1] / pixel[1]))
        if stats.labeled is not None:
            extent = stats.labeled.extent_mm
            labeled.append((extent[row] / pixel[0], extent[column] / pixel[1]))
    side = [_side([pair[n] for pair in slices], [pair[n] for pair in labeled]) for n in range(2)]
    largest = [max(pair[n] for pair in slices) for n in range(2)]
    whole = all(patch >= size for patch, size in zip(side, largest, strict=True))
    what = (
        "whole slices" if whole else f"parts of slices of up to {largest[0]:.0f} × {largest[1]:.0f}"
    )
    return (side[0], side[1]), f"training patches: {side[0]} × {side[1]} pixels, {what}"


def plan_network(shape: StepShape, settings: PlanSettings, probe: Probe | None) -> NetworkPlan:
    """Choose the sizes of the network and the batch.

    The largest of the networks of `BASES` that sees `FEWEST_PIXELS` within the time is taken,
    by the seconds that a training step of it was measured to take here.

    Args:
        shape: Channels, patch and threads; its sizes and batch do not matter.
        settings: Budget and wishes.
        probe: Measures seconds per training step of a shape; None = by the default base.
    """
    pixels = shape.patch_size[0] * shape.patch_size[1]
    batch = min(max(PIXELS_PER_STEP // pixels, SMALLEST_BATCH), LARGEST_BATCH)
    share = None
    if settings.sizes is not None:
        chosen, why = _shaped(shape, settings.sizes, batch), "as asked"
    elif settings.time_budget is None or probe is None:
        chosen, why = _shaped(shape, _levels(DEFAULT_BASE, shape.patch_size), batch), "the default"
    else:
        chosen, why, share = _affordable(shape, batch, settings.time_budget, probe)
    fitting = _within(chosen, settings.memory_gb)
    notes = [f"network: {', '.join(map(str, fitting.sizes))} channels per level, {why}"]
    less = "" if fitting == chosen else f", less than {chosen.batch_size} to stay in memory"
    if fitting.memory_gb > settings.memory_gb:
        less = ", the least there is: more memory than asked for; a smaller network needs less"
    memory = f"about {fitting.memory_gb:.2g} of {settings.memory_gb:g} GB"
    notes.append(f"batch: {fitting.batch_size} patches, {memory}{less}")
    return NetworkPlan(fitting, tuple(notes), share)


def _affordable(
    shape: StepShape, batch: int, minutes: float, probe: Probe
) -> tuple[StepShape, str, float]:
    seconds = minutes * 60 * TRAINING_SHARE
    best, why, share = None, "", 0.0
    for base in BASES:
        candidate = _shaped(shape, _levels(base, shape.patch_size), batch)
        step = probe(candidate)
        n_pixels = seconds / step * batch * shape.patch_size[0] * shape.patch_size[1]
        if best is not None and n_pixels < FEWEST_PIXELS:
            why += f"; {base} channels would see {n_pixels / 1e6:.0f} million"
            break
        best, share = candidate, n_pixels / FEWEST_PIXELS
        why = (
            f"the largest that sees at least {FEWEST_PIXELS / 1e6:.0f} million pixels in "
            f"{minutes:g} minutes here: {n_pixels / 1e6:.0f} million at {step:.2g} s a step"
        )
        if n_pixels < FEWEST_PIXELS:
            why = (
                f"the smallest; it sees {n_pixels / 1e6:.0f} million pixels in {minutes:g} "
                f"minutes here at {step:.2g} s a step, {FEWEST_PIXELS / 1e6:.0f} million would "
                "be better: give it more time"
            )
            break
    assert best is not None
    return best, why, share


def _within(shape: StepShape, memory_gb: float) -> StepShape:
    """Halve the batch until a step fits into the memory; one patch is the least."""
    while shape.memory_gb > memory_gb and shape.batch_size > 1:
        shape = _shaped(shape, shape.sizes, shape.batch_size // 2)
    return shape


def _shaped(shape: StepShape, sizes: tuple[int, ...], batch: int) -> StepShape:
    return StepShape(
        sizes, shape.in_channels, shape.out_channels, shape.patch_size, batch, shape.threads
    )


def _levels(base: int, patch_size: tuple[int, int]) -> tuple[int, ...]:
    """Double per level; patches of the largest side get one level more, for their surroundings."""
    levels = N_LEVELS + 1 if min(patch_size) >= LARGEST_PATCH else N_LEVELS
    return tuple(base << level for level in range(levels))


def _side(slices: Sequence[float], labeled: Sequence[float]) -> int:
    multiple = 1 << N_LEVELS
    wanted = AROUND_LABELS * sorted(labeled)[math.ceil(0.9 * len(labeled)) - 1]
    largest = max(*slices, 1.0)
    enough = max(wanted, SMALLEST_PATCH)
    if enough >= 0.85 * median(slices):  # nearly all of it: then the whole
        enough = largest
    side = min(enough, largest, LARGEST_PATCH)
    return max(multiple, math.ceil(round(side, 3) / multiple) * multiple)


@dataclass(frozen=True, slots=True)
class SizePlan:
    """What was chosen.

    Attributes:
        spacing_mm: In-plane spacing of the network; None = native.
        shape: Network, patch and batch.
        notes: Why.
    """

    spacing_mm: float | None
    shape: StepShape
    notes: tuple[str, ...]


def plan_sizes(
    case_stats: Sequence[CaseStats],
    slices: SlicePlan,
    settings: PlanSettings,
    *,
    channels: tuple[int, int],
    probe: Probe | None,
) -> SizePlan:
    """Choose the spacing, then patch, network and batch; once more on coarser pixels if need be.

    Args:
        case_stats: The cases.
        slices: How they become slices.
        settings: Budget and wishes.
        channels: Input and output channels of the network.
        probe: Measures seconds per training step of a shape.
    """
    spacing, note = plan_spacing(
        case_stats, slices.array_axes, override=settings.spacing_mm, minutes=settings.time_budget
    )

    def sized(spacing_mm: float | None) -> tuple[str, NetworkPlan]:
        patch_size, why = plan_patch_size(case_stats, slices.axis, spacing_mm)
        return why, plan_network(
            StepShape((), *channels, patch_size, 1, settings.threads), settings, probe
        )

    patch_note, network = sized(spacing)
    if settings.spacing_mm is None and network.share is not None and network.share < 1:
        coarser = plan_coarser_spacing(case_stats, slices.array_axes, spacing, share=network.share)
        if coarser is not None:
            spacing, note = coarser
            patch_note, network = sized(spacing)
    return SizePlan(spacing, network.shape, (note, patch_note, *network.notes))
