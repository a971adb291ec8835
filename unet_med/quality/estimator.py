"""Estimate the quality of one case's labels without a reference."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med._html import html_table
from unet_med.geometry import slice_positions_mm
from unet_med.quality.flags import QualityFlag, quality_flags
from unet_med.quality.label_statistics import LabelStatisticsCollector
from unet_med.quality.score import expected_dice, score_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from unet_med.geometry import Geometry, SliceLayout
    from unet_med.recipe import Recipe

    Table = NDArray[np.float64]
    Sink = Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.integer]], None]

REVIEW_BELOW = 0.79
"""A slice whose score is lower is to be looked at, unless the recipe says otherwise.

Fitted on the training templates of the sample weights: ``benchmarks/quality.py --fit``.
"""

_BLOCK = 1 << 18
"""Probabilities made at once: they stay in the processor's cache, many small slices cost little
more than one, and a large one with many labels takes little memory."""

_LABELS_BLOCK = 1 << 18  # pixels of the mask read at once

_DIGITS = 4


@dataclass(frozen=True)
class LabelQuality:
    """Hold the estimated quality of one label in the whole volume.

    Attributes:
        label: Its value.
        name: Its name.
        score: Expected Dice of the volume, from counts summed over its slices; ``None`` when no
            voxel has the label.
        entropy: Mean entropy of its voxels, 0 certain … 1; ``None`` as above.
        components: Pieces that do not touch by face, edge or corner.
        largest_component: Share of its voxels that the largest piece holds; ``None`` as above.
        touches_border: Ends and sides of the scan that it reaches.
        slices_flagged: Its slices on the list ``review``.

    Example:
        >>> liver = LabelQuality(1, "liver", 0.93, 0.1, 1, 1.0, ("last slice",), slices_flagged=2)
        >>> liver.as_dict()["touches_border"]
        ['last slice']
    """

    label: int
    name: str
    score: float | None
    entropy: float | None
    components: int
    largest_component: float | None
    touches_border: tuple[str, ...]
    slices_flagged: int

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready content."""
        return {
            "label": self.label,
            "label_name": self.name,
            "score": self.score,
            "entropy": self.entropy,
            "components": self.components,
            "largest_component": self.largest_component,
            "touches_border": list(self.touches_border),
            "slices_flagged": self.slices_flagged,
        }


@dataclass(frozen=True, repr=False)
class Quality:
    """Hold the estimated quality of one case per slice; tables are (n_slices, n_labels).

    Slices are counted in the file's own order along ``slice_axis``, as in slices.csv.

    Attributes:
        slice_axis: Array axis (0, 1, 2 of i, j, k) that slices are stacked along.
        position_mm: Where each slice lies, as in slices.csv, (n_slices,).
        temperature: What the logits were divided by.
        review_below: Slices with a lower score are in ``review``.
        score: Estimate in 0 … 1 of how good the slice is; NaN where the label is not in it.
        expected_dice: Dice that the probabilities lead to expect; NaN as above.
        entropy: Mean entropy of the label's voxels; NaN as above.
        neighbor_dice: Dice with the more similar neighbor; NaN as above.
        area_mm2: Area of the label.
        labels: One entry per label.
        review: Slices to look at first, with the reasons, worst first.

    Example:
        >>> empty = np.zeros((3, 0))
        >>> Quality(2, (0.0, 1.0, 2.0), 1.0, 0.79, *[empty] * 5, labels=(), review=())
        Quality(3 slices, 0 labels, 0 slices to review)
    """

    slice_axis: int
    position_mm: tuple[float, ...]
    temperature: float
    review_below: float
    score: Table
    expected_dice: Table
    entropy: Table
    neighbor_dice: Table
    area_mm2: Table
    labels: tuple[LabelQuality, ...]
    review: tuple[QualityFlag, ...]

    def __repr__(self) -> str:
        sizes = len(self.position_mm), len(self.labels), len({one.slice for one in self.review})
        return "Quality({} slices, {} labels, {} slices to review)".format(*sizes)

    def _repr_html_(self) -> str:
        rows = (
            (flag.slice, flag.position_mm, flag.label_name, flag.score, "; ".join(flag.reasons))
            for flag in self.review
        )
        return html_table(repr(self), ("slice", "mm", "label", "score", "reasons"), rows)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready content."""
        tables = ("score", "expected_dice", "entropy", "neighbor_dice", "area_mm2")
        return {
            "temperature": self.temperature,
            "slice_axis": self.slice_axis,
            "review_below": self.review_below,
            "labels": [label.as_dict() for label in self.labels],
            "slices": {
                "position_mm": [round(position, _DIGITS) for position in self.position_mm],
                "labels": {
                    str(label.label): {
                        name: _numbers(getattr(self, name)[:, column]) for name in tables
                    }
                    for column, label in enumerate(self.labels)
                },
            },
            "review": [flag.as_dict() for flag in self.review],
        }


class QualityEstimator:
    """Estimate the quality of labels from logits that are added slice by slice.

    Args:
        recipe: Labels, activation, temperature, ``review_below``.
        geometry: The scan's grid.
        layout: How it becomes slices, in the file's own order.
        sink: Is shown each slice's probabilities (1 + L, H, W), entropy (H, W) and labels (H, W).

    Example:
        >>> from unet_med.bundle import open_bundle
        >>> from unet_med.geometry import Geometry, slice_layout
        >>> recipe = open_bundle().recipe
        >>> geometry = Geometry((8, 8, 2), np.eye(4))
        >>> layout = slice_layout(geometry, "axial").in_file_order()
        >>> estimator = QualityEstimator(recipe, geometry, layout)
        >>> logits = np.zeros((2, 1 + len(recipe.labels), 8, 8), np.float32)
        >>> estimator.add(0, logits, np.zeros((2, 8, 8), np.uint8))
        >>> estimator.quality()
        Quality(2 slices, 3 labels, 0 slices to review)
    """

    def __init__(
        self,
        recipe: Recipe,
        geometry: Geometry,
        layout: SliceLayout,
        *,
        sink: Sink | None = None,
    ) -> None:
        self._sink = sink
        self._names: Mapping[int, str] = recipe.labels
        self._geometry = geometry
        self._layout = layout
        self._temperature = recipe.temperature
        self._collector = LabelStatisticsCollector(
            layout.n_slices(geometry),
            tuple(recipe.labels),
            activation=recipe.activation,
            temperature=recipe.temperature,
        )
        self._postprocessed = bool(recipe.postprocessing)
        self._review_below = REVIEW_BELOW if recipe.review_below is None else recipe.review_below

    def add(self, start: int, logits: NDArray[np.float32], labels: NDArray[np.integer]) -> None:
        """Add slices, which come once and in order.

        Args:
            start: Index of the first.
            logits: (n, K, H, W) float32.
            labels: Label values (n, H, W) that follow from them.
        """
        for part, rows in _blocks(logits.shape, whole=self._sink is not None):
            shown = labels[part, rows]
            probabilities, entropy = self._collector.add_logits(
                start + part.start, logits[part, :, rows], shown
            )
            if self._sink is not None:
                for seen in zip(probabilities, entropy, shown, strict=True):
                    self._sink(*seen)
        if not self._postprocessed:
            self.add_labels(start, labels)

    def add_labels(self, start: int, labels: NDArray[np.integer]) -> None:
        """Add slices of the mask, once post-processing has made it; else ``add`` does.

        Args:
            start: Index of the first.
            labels: Label values (n, H, W).
        """
        n_slices = max(1, _LABELS_BLOCK // labels[0].size)
        for first in range(0, len(labels), n_slices):
            self._collector.add_labels(start + first, labels[first : first + n_slices])

    def quality(self) -> Quality:
        """Return the quality of what has passed."""
        statistics, axis = self._collector.statistics, self._layout.slice_axis
        positions = slice_positions_mm(self._geometry, range(len(statistics.area)), axis=axis)
        slice_mm, row_mm, column_mm = self._layout.spacing(self._geometry)
        tables = score_tables(statistics, slice_mm)
        review = quality_flags(
            statistics,
            tables,
            names=self._names,
            positions_mm=positions,
            review_below=self._review_below,
        )
        flagged = [flag.label for flag in review]
        return Quality(
            slice_axis=axis,
            position_mm=positions,
            temperature=self._temperature,
            review_below=self._review_below,
            **tables,
            area_mm2=statistics.area * row_mm * column_mm,
            labels=tuple(
                self._label(column, flagged.count(value))
                for column, value in enumerate(self._names)
            ),
            review=review,
        )

    def _label(self, column: int, n_flagged: int) -> LabelQuality:
        statistics, collector = self._collector.statistics, self._collector
        value, name = list(self._names.items())[column]
        tables = (
            statistics.predicted,
            statistics.expected_tp,
            statistics.probability_sum,
            statistics.entropy,
            statistics.area,
        )
        predicted, expected_tp, probability_sum, entropy, area = (
            float(table[:, column].sum()) for table in tables
        )
        (score,) = expected_dice(
            np.array([predicted]), np.array([expected_tp]), np.array([probability_sum])
        )
        pieces, largest = int(collector.components.count[column]), collector.components.largest
        ends = zip(("first slice", "last slice"), statistics.area[[0, -1], column], strict=True)
        touched = [end for end, there in ends if there]
        return LabelQuality(
            label=value,
            name=name,
            score=round(float(score), _DIGITS) if area and predicted else None,
            entropy=round(entropy / predicted, _DIGITS) if area and predicted else None,
            components=pieces,
            largest_component=round(int(largest[column]) / area, _DIGITS) if area else None,
            touches_border=(*touched, *sorted(collector.sides[column])),
            slices_flagged=n_flagged,
        )


def _blocks(shape: tuple[int, ...], *, whole: bool) -> Iterator[tuple[slice, slice]]:
    """Cut logits (n, K, H, W) into blocks: slices, or some rows of one unless ``whole``."""
    n, n_channels, height, width = shape
    n_slices = max(1, _BLOCK // (n_channels * height * width))
    n_rows = height if whole else min(height, max(1, _BLOCK // (n_channels * width)))
    for first, row in product(range(0, n, n_slices), range(0, height, n_rows)):
        yield slice(first, first + n_slices), slice(row, row + n_rows)


def _numbers(column: Table) -> list[float | None]:
    """Return numbers for JSON, ``None`` for NaN."""
    return [None if np.isnan(value) else round(float(value), _DIGITS) for value in column]
