"""What the scans are like, for the recipe: a scan outside is one the network has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet_med.planning.slices import in_plane_mm, in_plane_size, slice_mm
from unet_med.recipe import Channel, Fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from unet_med.dataset import CaseSurvey

_DIGITS = 5


def take_fingerprint(
    surveys: Sequence[CaseSurvey],
    axes: Sequence[int],
    *,
    channels: Sequence[Channel],
    labels: Mapping[int, str],
    regions: Mapping[int, Sequence[int]],
) -> Fingerprint:
    """Return the ranges of the cases.

    Args:
        surveys: The cases.
        axes: Array axis of the slices, per case.
        channels: Of the recipe; ``intensity`` has the smallest 1st and the largest 99th
            percentile over the scans of each whose units matter: z-scores and percentiles do
            not depend on them.
        labels: Of the recipe; ``volumes_ml`` has their ranges, 0 where a case lacks the label.
        regions: Values of the label maps that make up a label of the recipe. As in a mask, only
            that of a region counts which no later one is painted over.
    """
    shown = _shown(labels, regions)
    in_plane = [size for pair in in_plane_mm(surveys, axes) for size in pair]
    sizes = [size for pair in in_plane_size(surveys, axes) for size in pair]
    counts = [survey.shape[axis] for survey, axis in zip(surveys, axes, strict=True)]
    return Fingerprint(
        n_cases=len(surveys),
        slice_spacing_mm=_range(slice_mm(surveys, axes)),
        in_plane_spacing_mm=_range(in_plane),
        slice_size_mm=_range(sizes),
        n_slices=(min(counts), max(counts)),
        intensity={
            channel.name: (
                _rounded(min(survey.channels[n].low for survey in surveys)),
                _rounded(max(survey.channels[n].high for survey in surveys)),
            )
            for n, channel in enumerate(channels)
            if channel.normalization.method in {"fixed", "none"}
        },
        volumes_ml={
            name: _range([_volume_ml(survey, shown[value]) for survey in surveys])
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


def _volume_ml(survey: CaseSurvey, values: Iterable[int]) -> float:
    return sum(survey.labels[value].volume_ml for value in values if value in survey.labels)


def _range(values: Sequence[float]) -> tuple[float, float]:
    return _rounded(min(values)), _rounded(max(values))


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
