"""When a slice is cut into windows, and how."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SlidingWindow:
    """When a slice is cut into windows, and how.

    Attributes:
        size: Rows and columns of a window.
        overlap: Share of a window that the next one covers again, 0 ≤ overlap < 1; or one for
            rows and one for columns, which a recipe cannot state.
        max_pixels: Slices of at most this many pixels are run whole, which has no seams; so are
            those that fit into one window.
        mode: ``gaussian`` or ``constant`` weights.
    """

    size: tuple[int, int] = (512, 512)
    overlap: float | tuple[float, float] = 0.5
    max_pixels: int = 1 << 20
    mode: str = "gaussian"

    def __post_init__(self) -> None:
        """Refuse rules that cannot be carried out."""
        if min(self.size) < 1 or not all(0 <= share < 1 for share in self.overlaps):
            msg = f"windows need size >= 1 and 0 <= overlap < 1, got {self.size}, {self.overlap}"
            raise ValueError(msg)
        if self.mode not in {"gaussian", "constant"}:
            msg = f"window mode must be gaussian or constant, got {self.mode!r}"
            raise ValueError(msg)

    @property
    def overlaps(self) -> tuple[float, float]:
        """Overlap along rows and along columns."""
        return self.overlap if isinstance(self.overlap, tuple) else (self.overlap, self.overlap)

    def is_needed(self, shape: tuple[int, int]) -> bool:
        """Tell whether slices of this shape are cut into windows."""
        exceeds = shape[0] > self.size[0] or shape[1] > self.size[1]
        return exceeds and shape[0] * shape[1] > self.max_pixels
