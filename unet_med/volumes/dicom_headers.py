"""What a DICOM image says of its place and its pixels, as values; nothing about a patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How pixels are stored, equal for all slices of a volume."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        """The integer type that holds a pixel."""
        return np.dtype(f"{'i' if self.signed else 'u'}{self.bits_allocated // 8}")


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """One image: a file, or a frame of one.

    Attributes:
        path: The file.
        frame: Index of the frame, from 0; None = the file has one image.
        uid: SOP instance, which tells copies of one image from two images.
        position: Center of the first pixel, LPS+ mm.
        across: Unit vector from pixel to pixel along a row (columns count up), LPS+.
        down: Unit vector from row to row, LPS+.
        spacing_mm: Distance between rows, and between columns.
        thickness_mm: What is said of the distance between slices; 0 = nothing.
        slope: Factor of the stored values.
        intercept: Added after the factor.
        pixels: How they are stored.
        moment: What tells images at one place apart: echo, time, b-value; empty = nothing.
    """

    path: Path
    frame: int | None
    uid: str
    position: Triple
    across: Triple
    down: Triple
    spacing_mm: tuple[float, float]
    thickness_mm: float
    slope: float
    intercept: float
    pixels: PixelFormat
    moment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SeriesHeader:
    """What all images of a series say alike.

    Attributes:
        uid: Series instance UID.
        number: Series number; -1 = none.
        modality: ``CT``, ``MR``, …
        description: Series description and protocol; free text, never shown unasked.
        image_type: Such as ``ORIGINAL``, ``PRIMARY``, ``LOCALIZER``.
    """

    uid: str
    number: int
    modality: str
    description: str
    image_type: tuple[str, ...]
