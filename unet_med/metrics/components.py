"""Count connected components: lesions that were detected, and false positive ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ComponentCounts:
    """Hold the component counts of two masks; faces, edges and corners connect voxels.

    A component is found when it shares at least one voxel with the other mask. One predicted
    component may find several of the reference, and several may find the same one.

    Attributes:
        reference: Components of the reference.
        prediction: Components of the prediction.
        detected: Components of the reference that were found.
        false_positive: Components of the prediction that share no voxel with the reference.

    Example:
        >>> ComponentCounts(reference=4, prediction=5, detected=3, false_positive=1).sensitivity
        0.75
    """

    reference: int = 0
    prediction: int = 0
    detected: int = 0
    false_positive: int = 0

    @property
    def sensitivity(self) -> float:
        """Return the share of the reference's components that were found; NaN without any."""
        return self.detected / self.reference if self.reference else float("nan")


def count_components(prediction: Mask, reference: Mask) -> ComponentCounts:
    """Count components and those that overlap the other mask.

    Args:
        prediction: Any shape, bool.
        reference: The same shape.

    Example:
        >>> prediction = np.array([1, 1, 0, 0, 0, 1], bool)
        >>> count_components(prediction, np.array([0, 1, 0, 1, 0, 0], bool))
        ComponentCounts(reference=2, prediction=2, detected=1, false_positive=1)
    """
    both = prediction & reference
    n_reference, detected = _count(reference, both)
    n_prediction, confirmed = _count(prediction, both)
    return ComponentCounts(n_reference, n_prediction, detected, n_prediction - confirmed)


def label_components(mask: Mask, *, rank: int | None = None) -> tuple[NDArray[np.int32], int]:
    """Number the connected components of a mask that is in memory as a whole.

    `unet_med.quality.StreamingComponentCounter` counts those of a mask that passes slice by slice.

    Args:
        mask: Any shape, bool.
        rank: In how many axes neighbors may differ: 1 = faces, 2 = edges as well, 3 = corners as
            well; ``None`` = all that touch.

    Returns:
        Number of each voxel's component from 1 on, 0 outside, in the shape of the mask; and how
        many components there are.

    Example:
        >>> label_components(np.eye(2, dtype=bool))[1], label_components(np.eye(2) > 0, rank=1)[1]
        (1, 2)
    """
    rank = mask.ndim if rank is None else min(rank, mask.ndim)
    structure = ndimage.generate_binary_structure(mask.ndim, rank)
    numbers, count = ndimage.label(mask, structure)
    return numbers, int(count)


def _count(mask: Mask, overlap: Mask) -> tuple[int, int]:
    """Return the number of components, and of those that hold voxels of the overlap."""
    numbers, count = label_components(mask)
    touched = np.bincount(numbers[overlap], minlength=count + 1)[1:]
    return count, int(np.count_nonzero(touched))
