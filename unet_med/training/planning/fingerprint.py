"""What the scans are like, for the recipe: a scan outside is one the network has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet_med.recipe import Channel, Fingerprint
from unet_med.training.planning.slices import in_plane_mm, in_plane_size, slice_mm

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from unet_med.cases import CaseStats

_DIGITS = 5


def extract_fingerprint(
    case_stats: Sequence[CaseStats],
    axes: Sequence[int],
    *,
    channels: Sequence[Channel],
    labels: Mapping[int, str],
    regions: Mapping[int, Sequence[int]],
) -> Fingerprint:
    """Return the ranges of the cases.

    Args:
        case_stats: The cases.
        axes: Array axis of the slices, per case.
        channels: Of the recipe; ``intensity`` has the smallest 1st and the largest 99th
            percentile over the scans of each whose units matter: z-scores and percentiles do
            not depend on them.
        labels: Of the recipe; ``volumes_ml`` has their ranges, 0 where a case lacks the label.
        regions: Values of the label maps that make up a label of the recipe. As in a mask, only
            that of a region counts which no later one is painted over.
    """
    shown = _shown(labels, regions)
    in_plane = [size for pair in in_plane_mm(case_stats, axes) for size in pair]
    sizes = [size for pair in in_plane_size(case_stats, axes) for size in pair]
    counts = [stats.shape[axis] for stats, axis in zip(case_stats, axes, strict=True)]
    return Fingerprint(
        n_cases=len(case_stats),
        slice_spacing_mm=_range(slice_mm(case_stats, axes)),
        in_plane_spacing_mm=_range(in_plane),
        slice_size_mm=_range(sizes),
        n_slices=(min(counts), max(counts)),
        intensity={
            channel.name: (
                _rounded(min(stats.channels[n].low for stats in case_stats)),
                _rounded(max(stats.channels[n].high for stats in case_stats)),
            )
            for n, channel in enumerate(channels)
            if channel.normalization.method in {"fixed", "none"}
        },
        volumes_ml={
            name: _range([_volume_ml(stats, shown[value]) for stats in case_stats])
            for value, name in labels.items()
        },
    )


def _shown(
    labels: Iterable[int], regions: Mapping[int, Sequence[int]]
) -> dict[int, frozenset[int]]:
    """Return, per label of the recipe, the values of the label maps that a mask shows it for."""
    parts = {value: frozenset(regions.get(value, (value,))) for value in labels}
    order = list(parts)
    return {
        value: parts[value].difference(*(parts[later] for later in order[number + 1 :]))
        for number, value in enumerate(order)
    }


def _volume_ml(stats: CaseStats, values: Iterable[int]) -> float:
    return sum(stats.labels[value].volume_ml for value in values if value in stats.labels)


def _range(values: Sequence[float]) -> tuple[float, float]:
    return _rounded(min(values)), _rounded(max(values))


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
