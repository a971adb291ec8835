"""How every score counts what is empty, missing or cannot be: the words in summary.json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet_med.evaluation.aggregate import BOOTSTRAP_RESAMPLES, BOOTSTRAP_SEED
from unet_med.metrics import EmptyPolicy

if TYPE_CHECKING:
    from unet_med.evaluation.records import EvaluationSettings

_EMPTY_WORDS = {
    EmptyPolicy.SKIP: "is left out",
    EmptyPolicy.ONE: "counts as 1",
    EmptyPolicy.ZERO: "counts as 0",
}

_FROM_COUNTS = {
    "volume_dice": "2·tp / (2·tp + fp + fn) from the counts summed over all slices of a case; "
    "null where the label is in neither mask",
    "slice_dice": "the same per slice; empty in slices.csv where the label is in neither mask",
    "iou": "tp / (tp + fp + fn); null where the label is in neither mask, 0 where in one",
    "precision": "tp / (tp + fp); null where the prediction is empty",
    "recall": "tp / (tp + fn); null where the reference is empty",
    "volume_error_ml": "prediction minus reference",
    "volume_error_relative": "prediction minus reference, over the reference; null where the "
    "reference is empty",
    "label_summary": "over the n cases that hold the label in one of the masks, missing "
    "predictions included; n_undefined counts the null ones; std is that of a sample",
    "ci95": "percentile bootstrap of the mean over cases, "
    f"{BOOTSTRAP_RESAMPLES} resamples, seed {BOOTSTRAP_SEED}; null for fewer than two cases",
    "missing": "a case without a prediction scores 0 for each label of its reference; its "
    "distances are infinite",
    "missing_label": "a label or region that no mask of the cohort holds has n = 0",
    "extra": "a prediction without a reference is listed, not scored",
    "foreign_labels": "label values of a prediction that no reference holds and nobody named; they "
    "are scored like any other and listed",
    "failed": "a case that could not be compared is listed with the reason, not scored",
    "slice": "0-based index along the slice axis in the reference file's own array order",
    "position_mm": "RAS+ coordinate of the slice's center along the slice axis",
    "region": "the union of labels in both masks, scored as one label; its label is its values "
    "joined by +",
}

_FROM_SHAPES = {
    "surface": "voxels of the mask with a face neighbor outside it, the edge of the array "
    "included; in a slice, and in a volume of one slice, outlines within the plane",
    "distance": "between voxel centers in world millimeters, each surface voxel to the nearest "
    "of the other mask",
    "hd95_mm": "the larger of the two directed 95th percentiles (linear interpolation)",
    "hausdorff_mm": "the largest distance in either direction",
    "assd_mm": "the mean over the surface voxels of both masks",
    "surface_dice": "share of the surface voxels of both masks within tolerance_mm of the other",
    "miss": "where one mask is empty the distances are infinite: inf in the tables, null here "
    "and counted in n_infinite, never left out; the surface Dice is 0",
    "both_empty": "where both masks are empty distances and surface Dice are null",
    "mean_of_finite": "given only beside an n_infinite above 0; it flatters",
    "components": "voxels that touch by face, edge or corner; a component is detected, or not "
    "a false positive, when it shares at least one voxel with the other mask",
    "component_sensitivity": "detected components of the reference over all of them; null where "
    "it has none",
}


def conventions(settings: EvaluationSettings) -> dict[str, str]:
    """Return what each score means under these settings."""
    words = {
        **_FROM_COUNTS,
        "slice_means": "a slice without the label in either mask "
        f"{_EMPTY_WORDS[settings.empty]} (columns that end in _{settings.empty})",
    }
    return {**words, **_FROM_SHAPES} if settings.metrics.shapes else words
