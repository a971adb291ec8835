"""Neighboring slices as extra channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Context:
    """Choose how many slices the network sees at once, and how far they reach.

    Attributes:
        slices: Odd number of slices, 1 = the slice alone.
        reach_mm: Distance from the center to the outermost slice; the others lie evenly
            between. Ignored for one slice.

    Example:
        >>> Context(slices=3, reach_mm=2.0).offsets(1.0)
        (-2, 0, 2)
    """

    slices: int = 1
    reach_mm: float = 0.0

    def __post_init__(self) -> None:
        """Refuse even numbers and a reach that does not fit."""
        if self.slices < 1 or self.slices % 2 == 0:
            msg = f"context needs an odd number of slices, got {self.slices}"
            raise ValueError(msg)
        if self.slices > 1 and not self.reach_mm > 0:
            msg = f"context of {self.slices} slices needs reach_mm > 0, got {self.reach_mm}"
            raise ValueError(msg)

    def offsets(self, slice_spacing_mm: float) -> tuple[int, ...]:
        """Return the offset in slices of each context slice, ascending, for a slice spacing.

        Each is the slice nearest to its place in mm, so thick slices repeat rather than reach
        further than the network was trained for.

        Example:
            >>> Context(slices=5, reach_mm=4.0).offsets(1.0)
            (-4, -2, 0, 2, 4)
            >>> Context(slices=5, reach_mm=4.0).offsets(5.0)
            (-1, 0, 0, 0, 1)
        """
        half = self.slices // 2
        if half == 0:
            return (0,)
        step_mm = self.reach_mm / half
        # Half away from zero, so that the two sides mirror each other.
        outward = [int(step_mm * k / slice_spacing_mm + 0.5) for k in range(1, half + 1)]
        return (*(-offset for offset in reversed(outward)), 0, *outward)


def context_indices(index: int, offsets: tuple[int, ...], n_slices: int) -> tuple[int, ...]:
    """Return the slices that slice ``index`` sees; beyond the ends the end slice repeats.

    Example:
        >>> context_indices(0, (-1, 0, 1), n_slices=5)
        (0, 0, 1)
    """
    return tuple(min(max(index + offset, 0), n_slices - 1) for offset in offsets)


def stack_context(slices: NDArray[np.float32], offsets: tuple[int, ...]) -> NDArray[np.float32]:
    """Stack every slice of a whole volume with its context.

    Args:
        slices: (n, C, H, W), ascending along the slice axis.
        offsets: From ``Context.offsets``.

    Returns:
        (n, len(offsets)·C, H, W): channel = offset index · C + c.

    Example:
        >>> stack_context(np.zeros((5, 1, 8, 6), np.float32), (-1, 0, 1)).shape
        (5, 3, 8, 6)
    """
    n_slices = slices.shape[0]
    return np.stack(
        [
            np.concatenate([slices[j] for j in context_indices(i, offsets, n_slices)])
            for i in range(n_slices)
        ]
    )
