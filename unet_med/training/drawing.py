"""Which crop of which slice is drawn, and its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unet_med.errors import InputError
from unet_med.preprocessing import context_indices
from unet_med.training.codes import IGNORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from unet_med.training.cache import CachedCase

JITTER = 0.25
"""A crop for a labeled pixel has it within this share of its sides from its middle."""


@dataclass(frozen=True, slots=True)
class Place:
    """The middle of a crop: case, slice and a pixel between pixels."""

    case: int
    slice: int
    row: float
    column: float


class PlaceDrawer:
    """Draws crops: a share of them on labeled pixels, the labels in turn, the rest anywhere."""

    def __init__(
        self, cases: Sequence[CachedCase], crop: tuple[int, int], *, foreground_share: float
    ) -> None:
        """Look up which slices hold which label.

        Args:
            cases: The training cases.
            crop: Rows and columns.
            foreground_share: Share of crops on labeled pixels.

        Raises:
            InputError: No slice of any case holds a label.
        """
        self.cases = list(cases)
        self.crop = crop
        self.share = foreground_share
        slices = [(c, s) for c, case in enumerate(self.cases) for s in range(case.n_slices)]
        self.slices = np.array(slices, np.int64).reshape(-1, 2)
        counts = np.concatenate([case.counts for case in self.cases])
        self.holding = [
            (code, np.flatnonzero(counts[:, code]))
            for code in range(1, counts.shape[1])
            if counts[:, code].any()
        ]
        if not self.holding:
            msg = (
                "no training case holds any of the recipe's labels: nothing can be learned; "
                "check the label values with unet-med plan"
            )
            raise InputError(msg)

    def draw(self, rng: np.random.Generator) -> Place:
        """Draw one place."""
        on_label, turn, which, row, column, jitter_row, jitter_column = rng.random(7)
        if on_label >= self.share:
            index = int(which * len(self.slices))
            case, number = (int(n) for n in self.slices[index])
            height, width = self.cases[case].shape
            middle = self._clamped(row * height, column * width, (height, width))
            return Place(case, number, *middle)
        code, holding = self.holding[int(turn * len(self.holding))]
        case, number = (int(n) for n in self.slices[holding[int(which * len(holding))]])
        pixels = np.flatnonzero(self.cases[case].codes[number] == code)
        at_row, at_column = divmod(int(pixels[int(row * len(pixels))]), self.cases[case].shape[1])
        middle = self._clamped(
            at_row + 0.5 + JITTER * self.crop[0] * (2 * jitter_row - 1),
            at_column + 0.5 + JITTER * self.crop[1] * (2 * jitter_column - 1),
            self.cases[case].shape,
        )
        return Place(case, number, *middle)

    def _clamped(self, row: float, column: float, shape: tuple[int, int]) -> tuple[float, float]:
        """Keep the crop inside the slice where it fits, else put it on the slice's middle."""
        result = []
        for at, side, size in zip((row, column), self.crop, shape, strict=True):
            half = side / 2
            inside = min(max(at, half), size - half) if side < size else size / 2
            result.append(np.floor(inside - half) + half)  # whole pixels stay whole
        return float(result[0]), float(result[1])


def cut(
    case: CachedCase, place: Place, size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Cut a patch around a place, its context stacked.

    Args:
        case: Where from.
        place: The middle; whole or half pixels as ``size`` is even or odd.
        size: Rows and columns.

    Returns:
        (context·C, h, w) float32, zeros outside the slice, and codes (h, w) uint8, `IGNORED`
        outside the slice.
    """
    top = round(place.row - size[0] / 2)
    left = round(place.column - size[1] / 2)
    height, width = case.shape
    rows = slice(max(top, 0), min(top + size[0], height))
    columns = slice(max(left, 0), min(left + size[1], width))
    inside = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    seen = context_indices(place.slice, case.offsets, case.n_slices)
    n_channels = case.images.shape[1]
    image = np.zeros((len(seen) * n_channels, *size), np.float32)
    for n, index in enumerate(seen):
        channels = slice(n * n_channels, (n + 1) * n_channels)
        image[channels, inside[0], inside[1]] = case.images[index, :, rows, columns]
    codes = np.full(size, IGNORED, np.uint8)
    codes[inside] = case.codes[place.slice, rows, columns]
    return image, codes
