"""Cases segmented by the model of their fold, and a sample of its logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unet_med.inference import iter_labels
from unet_med.volumes import open_volume, stack_volumes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.quality import VoxelSample
    from unet_med.segmenter import Segmenter
    from unet_med.training import TargetEncoding, TrainingCase
    from unet_med.volumes import Volume


def open_scan(case: TrainingCase, root: Path) -> Volume:
    """Open a case's channels as one volume."""
    return stack_volumes([open_volume(root / path) for path in case.images])


def read_reference(
    case: TrainingCase, root: Path, encoding: TargetEncoding
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read a label map as the recipe's labels.

    Args:
        case: The case.
        root: Folder that relative paths are meant from.
        encoding: How values become labels.

    Returns:
        Labels (i, j, k), and where the ignore value stands.
    """
    from unet_med.training.target_encoding import IGNORE_INDEX

    volume = open_volume(root / case.label)
    stored = volume.read(0, volume.geometry.shape[2], axis=2)[0]
    coded = encoding.encode(stored, name=f"the labels of {case.id}")
    return encoding.to_labels(coded), coded == IGNORE_INDEX


def segment_held_out(
    segmenter: Segmenter, scan: Volume, reference: NDArray[np.int64], sample: VoxelSample | None
) -> NDArray[np.unsignedinteger]:
    """Segment a scan without post-processing, and sample its logits.

    Args:
        segmenter: A model that has not seen the scan.
        scan: The scan.
        reference: True labels of the recipe, (i, j, k).
        sample: Takes logits and truth; None = no sample.

    Returns:
        Labels (i, j, k).
    """
    recipe = segmenter.recipe
    case = segmenter.open(scan)
    true = case.layout.to_slices(reference)

    def add(start: int, logits: NDArray[np.float32], _labels: NDArray[np.unsignedinteger]) -> None:
        if sample is not None:
            sample.add(logits, true[start : start + len(logits)], list(recipe.labels))

    labels = np.zeros(scan.geometry.shape, case.label_dtype)
    view = case.layout.to_slices(labels)
    for start, part in iter_labels(case.logits(), recipe, on_labels=add):
        view[start : start + len(part)] = part
    return labels
