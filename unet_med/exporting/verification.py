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
    from unet_med.exporting.samples import Sample
    from unet_med.recipe import Recipe

MIN_AGREEMENT = 0.99
"""Smallest Dice with the fp32 labels, pooled over the slices, that every label must reach."""

MAX_DICE_LOSS = 0.002
"""Largest loss of Dice against the references that any label may have."""

Variant = tuple[str, str]
"""Backend and precision."""

REFERENCE: Variant = ("torch", "fp32")


@dataclass
class PrecisionComparison:
    """What one variant of running has added up to, slice by slice.

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

    def verified_precision(self, variant: Variant, *, model_sha256: str) -> VerifiedPrecision:
        """Return the precision report: figures of the worst label, and whether they suffice.

        They do not where a label is in no slice, of this variant's labels or of fp32's.

        Args:
            variant: Backend and precision.
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
            backend=variant[0],
            precision=variant[1],
            verified=verified and (change is None or change >= -MAX_DICE_LOSS),
            agreement=agreement,
            max_logit_difference=self.largest,
            mean_logit_difference=self.summed / max(1, self.n_logits),
            voxels_changed=self.changed / max(1, self.n_voxels),
            dice_change=change,
            n_slices=self.n_slices,
            model_sha256=model_sha256,
        )

    def missing_labels(self, recipe: Recipe) -> tuple[str, ...]:
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
    return np.asarray(dice(tp, fp, fn, both_empty=EmptyPolicy.SKIP), np.float64)


def compare_precisions(
    samples: Iterable[Sample],
    predictors: Mapping[Variant, SlicePredictor],
    *,
    recipe: Recipe,
) -> dict[Variant, PrecisionComparison]:
    """Run every variant over the same slices, one after the other slice by slice.

    Args:
        samples: The slices; on the scan's own grid labels and logits are compared.
        predictors: The variants, ``REFERENCE`` among them.
        recipe: The bundle's recipe.

    Returns:
        What each variant but the reference one added up to.
    """
    variants = [variant for variant in predictors if variant != REFERENCE]
    comparisons = {variant: PrecisionComparison(len(recipe.labels)) for variant in variants}
    for sample in samples:
        expected = sample.pipeline.logits(sample.slices, predictors[REFERENCE])
        for variant in variants:
            start = time.perf_counter()
            logits = sample.pipeline.logits(sample.slices, predictors[variant])
            comparisons[variant].seconds.append(time.perf_counter() - start)
            comparisons[variant].add(logits, expected, sample, recipe=recipe)
    return comparisons
