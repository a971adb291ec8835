"""Warn where a scan, or what was found in it, lies outside the training data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unet_med.geometry import Geometry, SliceLayout
    from unet_med.preprocessing import IntensityStatistics
    from unet_med.recipe import Fingerprint, Recipe

    Range = tuple[float, float]

SPACING_MARGIN = 0.05
"""Share by which a scan's spacing, size or slices may lie beyond the training range."""

VOLUME_MARGIN = 0.25
"""The same for volumes of labels: a few training cases do not show how much people differ."""

INTENSITY_PERCENTILES = (1.0, 99.0)
"""Percentiles of a scan that ``fingerprint.intensity`` bounds, per channel name."""


def scan_warnings(recipe: Recipe, geometry: Geometry, layout: SliceLayout) -> tuple[str, ...]:
    """Say where the scan's grid lies outside the training fingerprint.

    Args:
        recipe: With the fingerprint; what it does not state is not checked.
        geometry: The scan's grid.
        layout: How it becomes slices.

    Example:
        >>> import numpy as np
        >>> from unet_med.bundle import open_bundle
        >>> from unet_med.geometry import Geometry, slice_layout
        >>> thick = Geometry((200, 220, 30), np.diag([1.0, 1.0, 9.0, 1.0]))
        >>> scan_warnings(open_bundle().recipe, thick, slice_layout(thick, "axial"))
        ('the distance between slices is 9 mm; in training it was 0.7 to 6 mm',)
    """
    slice_mm, row_mm, column_mm = layout.spacing(geometry)
    _, rows, columns = layout.axes
    sides = (geometry.shape[rows] * row_mm, geometry.shape[columns] * column_mm)
    seen = recipe.fingerprint
    checks: tuple[tuple[str, str, Sequence[float], Range | None], ...] = (
        ("distance between slices", " mm", (slice_mm,), seen.slice_spacing_mm),
        ("spacing in the slice", " mm", (row_mm, column_mm), seen.in_plane_spacing_mm),
        ("size of a slice", " mm", sides, seen.slice_size_mm),
        ("number of slices", "", (layout.n_slices(geometry),), seen.n_slices),
    )
    return tuple(
        text
        for what, unit, values, trained in checks
        for text in _out_of_range(f"the {what}", values, trained, unit=unit, margin=SPACING_MARGIN)
    )


def intensity_warnings(
    recipe: Recipe, statistics: Sequence[IntensityStatistics]
) -> tuple[str, ...]:
    """Say which channels have values outside the training fingerprint.

    Args:
        recipe: Channel names and ``fingerprint.intensity``.
        statistics: Of each channel of the scan, in the recipe's order.

    Example:
        >>> import numpy as np
        >>> from dataclasses import replace
        >>> from unet_med.bundle import open_bundle
        >>> from unet_med.preprocessing import IntensityStatistics
        >>> recipe = open_bundle().recipe
        >>> fingerprint = replace(recipe.fingerprint, intensity={"T1": (0.0, 100.0)})
        >>> scan = IntensityStatistics()
        >>> scan.add(np.full((4, 5), 900, np.float32))
        >>> intensity_warnings(replace(recipe, fingerprint=fingerprint), [scan])[0].split("; ")[1]
        'those of the training scans were 0 to 100'
    """
    found = []
    for channel, counted in zip(recipe.channels, statistics, strict=True):
        trained = recipe.fingerprint.intensity.get(channel.name)
        if trained is None:
            continue
        margin = VOLUME_MARGIN * (trained[1] - trained[0])
        low, high = (counted.percentile(percent) for percent in INTENSITY_PERCENTILES)
        if low < trained[0] - margin or high > trained[1] + margin:
            found.append(
                f"the values of {channel.name} (1st to 99th percentile) are {low:.4g} to "
                f"{high:.4g}; those of the training scans were {trained[0]:.4g} to {trained[1]:.4g}"
            )
    return tuple(found)


def volume_warnings(
    fingerprint: Fingerprint, volumes_ml: Mapping[str, float], *, cut: Sequence[str] = ()
) -> tuple[str, ...]:
    """Say which labels have another volume than in any training case.

    Args:
        fingerprint: With ``volumes_ml`` per label name.
        volumes_ml: What was found, per label name.
        cut: Names of labels that reach the border of the scan.

    Example:
        >>> from unet_med.recipe import Fingerprint
        >>> trained = Fingerprint(volumes_ml={"liver": (1000.0, 2000.0)})
        >>> volume_warnings(trained, {"liver": 300.0})
        ('the volume of liver is 300 ml; in training it was 1000 to 2000 ml',)
    """
    found = []
    for name, trained in fingerprint.volumes_ml.items():
        volume = volumes_ml.get(name, 0.0)
        texts = _out_of_range(
            f"the volume of {name}", (volume,), trained, unit=" ml", margin=VOLUME_MARGIN
        )
        hint = "; it reaches the border of the scan, which may not hold all of it"
        found += [text + (hint if name in cut else "") for text in texts]
    return tuple(found)


def _out_of_range(
    what: str, values: Sequence[float], trained: Range | None, *, unit: str, margin: float
) -> Iterator[str]:
    if trained is None:
        return
    low, high = trained
    if min(values) < low * (1.0 - margin) or max(values) > high * (1.0 + margin):
        found = " × ".join(f"{value:.4g}" for value in dict.fromkeys(values))
        yield f"{what} is {found}{unit}; in training it was {low:.4g} to {high:.4g}{unit}"
