"""How far each backend and precision differs from torch in fp32, on real slices."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.inference import labels_from_logits
from unet_med.metrics import EmptyPolicy, dice, slice_counts
from unet_med.recipe import VerifiedPrecision

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from unet_med.backends import SlicePredictor
    from unet_med.export.scans import Sample
    from unet_med.recipe import Recipe

MIN_AGREEMENT = 0.99
"""Smallest Dice with the fp32 labels, pooled over the slices, that every label must reach."""

MAX_DICE_LOSS = 0.002
"""Largest loss of Dice against the references that any label may have."""

Way = tuple[str, str]
"""Backend and precision."""

REFERENCE_WAY: Way = ("torch", "fp32")


@dataclass
class Tally:
    """What one way of running has added up to, slice by slice.

    ``with_fp32``, ``with_reference`` and ``fp32_with_reference`` hold tp, fp and fn per label,
    shape (3, n_labels), int64.
    """

    n_labels: int
    n_slices: int = 0
    n_logits: int = 0
    n_voxels: int = 0
    largest: float = 0.0
    summed: float = 0.0
    changed: int = 0
    n_references: int = 0
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape = (3, self.n_labels)
        self.with_fp32 = np.zeros(shape, np.int64)
        self.with_reference = np.zeros(shape, np.int64)
        self.fp32_with_reference = np.zeros(shape, np.int64)

    def add(
        self, logits: NDArray[np.float32], expected: NDArray[np.float32], sample: Sample, *,
        recipe: Recipe,
    ) -> None:  # fmt: skip
        """Add one slice: its logits, and those of torch in fp32, (1, K, H, W) each."""
        difference = np.abs(logits.astype(np.float64) - expected)
        self.n_slices += len(logits)
        self.n_logits += difference.size
        self.largest = max(self.largest, float(difference.max()))
        self.summed += float(difference.sum())
        values = tuple(recipe.labels)
        labels = labels_from_logits(logits, values, activation=recipe.activation)
        fp32 = labels_from_logits(expected, values, activation=recipe.activation)
        self.n_voxels += labels.size
        self.changed += int(np.count_nonzero(labels != fp32))
        self.with_fp32 += np.stack(slice_counts(labels, fp32, labels=values).sums())
        if sample.reference is not None:
            true = sample.reference
            self.n_references += 1
            self.with_reference += np.stack(slice_counts(labels, true, labels=values).sums())
            self.fp32_with_reference += np.stack(slice_counts(fp32, true, labels=values).sums())

    def verdict(self, way: Way, *, model_sha256: str) -> VerifiedPrecision:
        """Return the receipt: figures of the worst label, and whether they suffice.

        They do not where a label is in no slice, of this way's labels or of fp32's.

        Args:
            way: Backend and precision.
            model_sha256: Digest of what was run.
        """
        agreements = pooled_dice(self.with_fp32)
        agreement = None if np.isnan(agreements).all() else float(np.nanmin(agreements))
        change = None
        if self.n_references:
            changes = pooled_dice(self.with_reference) - pooled_dice(self.fp32_with_reference)
            change = None if np.isnan(changes).all() else float(np.nanmin(changes))
        verified = agreement is not None and bool((agreements >= MIN_AGREEMENT).all())
        return VerifiedPrecision(
            backend=way[0],
            precision=way[1],
            verified=verified and (change is None or change >= -MAX_DICE_LOSS),
            agreement=agreement,
            max_logit_difference=self.largest,
            mean_logit_difference=self.summed / max(1, self.n_logits),
            voxels_changed=self.changed / max(1, self.n_voxels),
            dice_change=change,
            n_slices=self.n_slices,
            model_sha256=model_sha256,
        )

    def unseen(self, recipe: Recipe) -> tuple[str, ...]:
        """Return the names of labels that no slice held."""
        missing = np.isnan(pooled_dice(self.with_fp32)).tolist()
        return tuple(
            name for name, none in zip(recipe.labels.values(), missing, strict=True) if none
        )

    def details(self, recipe: Recipe) -> dict[str, Any]:
        """Return what the recipe has no room for: figures per label, and the time."""
        agreements = pooled_dice(self.with_fp32)
        named = zip(recipe.labels.values(), agreements.tolist(), strict=True)
        return {
            "agreement_per_label": {name: None if np.isnan(x) else x for name, x in named},
            "seconds_per_slice": float(np.median(self.seconds)),
        }


def pooled_dice(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return Dice per label of pooled counts (3, n_labels); NaN where both are empty."""
    tp, fp, fn = counts
    return np.asarray(dice(tp, fp, fn=fn, both_empty=EmptyPolicy.SKIP), np.float64)


def measure(
    samples: Iterable[Sample],
    predictors: Mapping[Way, SlicePredictor],
    *,
    recipe: Recipe,
) -> dict[Way, Tally]:
    """Run every way over the same slices, one after the other slice by slice.

    Args:
        samples: The slices; on the scan's own grid labels and logits are compared.
        predictors: The ways, ``REFERENCE_WAY`` among them.
        recipe: The bundle's recipe.

    Returns:
        What each way but the reference one added up to.
    """
    ways = [way for way in predictors if way != REFERENCE_WAY]
    tallies = {way: Tally(len(recipe.labels)) for way in ways}
    for sample in samples:
        expected = sample.pipeline.logits(sample.slices, predictors[REFERENCE_WAY])
        for way in ways:
            start = time.perf_counter()
            logits = sample.pipeline.logits(sample.slices, predictors[way])
            tallies[way].seconds.append(time.perf_counter() - start)
            tallies[way].add(logits, expected, sample, recipe=recipe)
    return tallies
