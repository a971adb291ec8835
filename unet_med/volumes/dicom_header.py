"""Headers of DICOM images: parse geometry and pixel format from a file's elements.

Nothing about a patient is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.errors import VolumeError

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom import Dataset

Vector = tuple[float, float, float]


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
        row_direction: Unit vector from pixel to pixel along a row (columns count up), LPS+.
        column_direction: Unit vector from row to row, LPS+.
        spacing_mm: Distance between rows, and between columns.
        thickness_mm: What is said of the distance between slices; 0 = nothing.
        slope: Factor of the stored values.
        intercept: Added after the factor.
        pixels: How they are stored.
        dimension_values: What tells images at one place apart: echo, time, b-value; may be empty.
    """

    path: Path
    frame: int | None
    uid: str
    position: Vector
    row_direction: Vector
    column_direction: Vector
    spacing_mm: tuple[float, float]
    thickness_mm: float
    slope: float
    intercept: float
    pixels: PixelFormat
    dimension_values: tuple[tuple[str, str], ...] = ()


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


_FUNCTIONAL_GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "TemporalPositionIndex": "FrameContentSequence",
    "EffectiveEchoTime": "MREchoSequence",
    "DiffusionBValue": "MRDiffusionSequence",
}

_DIMENSION_ATTRIBUTES = (
    "EchoNumbers", "EchoTime", "EffectiveEchoTime", "TemporalPositionIdentifier",
    "TemporalPositionIndex", "DiffusionBValue", "TriggerTime", "AcquisitionNumber",
)  # fmt: skip

_MAX_MM = 1e6

_UNIT_VECTOR_TOLERANCE = 1e-3
"""Direction cosines are decimal texts of often six digits, rounded ones of four."""


def image_headers(path: Path, dataset: Dataset) -> list[SliceHeader] | None:
    """Take the headers of all images from a file's elements.

    Args:
        path: The file, for messages and for what reads its pixels.
        dataset: Its elements without pixels.

    Returns:
        One per image; None for color pictures and images without a place in the patient.

    Raises:
        VolumeError: Pixels or place cannot be used.
    """
    groups = _functional_groups(dataset)
    if groups is None or int(dataset.get("SamplesPerPixel") or 1) != 1:
        return None
    return [
        _slice_header(path, dataset, group, None if len(groups) == 1 and frame is None else frame)
        for frame, group in groups
    ]


def series_header(dataset: Dataset) -> SeriesHeader:
    """Take from an image what all images of its series say alike."""
    number = dataset.get("SeriesNumber")
    texts = (dataset.get("SeriesDescription"), dataset.get("ProtocolName"))
    kinds = dataset.get("ImageType") or ()
    return SeriesHeader(
        uid=str(dataset.get("SeriesInstanceUID", "")),
        number=-1 if number is None else int(number),
        modality=str(dataset.get("Modality", "")),
        description="\n".join(str(text) for text in texts if text),
        image_type=tuple(str(kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)),
    )


def _functional_groups(dataset: Dataset) -> list[tuple[int | None, list[Dataset]]] | None:
    """Return per image its frame and where its attributes may stand; None = no place is said."""
    if "PerFrameFunctionalGroupsSequence" in dataset:
        shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])
        per_frame = dataset.PerFrameFunctionalGroupsSequence
        return [(n, [group, *shared, dataset]) for n, group in enumerate(per_frame)]
    if "ImagePositionPatient" not in dataset or "ImageOrientationPatient" not in dataset:
        return None
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        return None
    return [(None, [dataset])]


def _find_attribute(groups: list[Dataset], name: str) -> Any:  # noqa: ANN401 - a DICOM value
    """Look an attribute up in its macro of each group, then plainly."""
    for group in groups:
        macro = group.get(_FUNCTIONAL_GROUPS.get(name, ""))
        for place in ([*macro] if macro else []) + [group]:
            value = place.get(name)
            if value is not None and value != "":
                return value
    return None


def _slice_header(
    path: Path, dataset: Dataset, groups: list[Dataset], frame: int | None
) -> SliceHeader:
    if _find_attribute(groups, "ModalityLUTSequence") is not None:
        msg = f"{path} maps its values by a table, which is not read; convert it first"
        raise VolumeError(msg)
    position = _finite_numbers(_find_attribute(groups, "ImagePositionPatient"), 3, path, "position")
    directions = _finite_numbers(
        _find_attribute(groups, "ImageOrientationPatient"), 6, path, "orientation"
    )
    spacing = _finite_numbers(_find_attribute(groups, "PixelSpacing"), 2, path, "pixel spacing")
    row_direction, column_direction = directions[:3], directions[3:]
    _check_directions(row_direction, column_direction, spacing, path)
    between = (
        _find_attribute(groups, "SpacingBetweenSlices")
        or _find_attribute(groups, "SliceThickness")
        or 0
    )
    (thickness,) = _finite_numbers([between], 1, path, "slice thickness")
    slope, intercept = (
        _finite_numbers([default if value is None else value], 1, path, "rescaling")[0]
        for value, default in (
            (_find_attribute(groups, "RescaleSlope"), 1.0),
            (_find_attribute(groups, "RescaleIntercept"), 0.0),
        )
    )
    dimension_values = [(name, _find_attribute(groups, name)) for name in _DIMENSION_ATTRIBUTES]
    return SliceHeader(
        path=path,
        frame=frame,
        uid=str(dataset.get("SOPInstanceUID", "")),
        position=(position[0], position[1], position[2]),
        row_direction=(row_direction[0], row_direction[1], row_direction[2]),
        column_direction=(column_direction[0], column_direction[1], column_direction[2]),
        spacing_mm=(spacing[0], spacing[1]),
        thickness_mm=abs(thickness),
        slope=slope or 1.0,
        intercept=intercept,
        pixels=_pixel_format(dataset, path),
        dimension_values=tuple(
            (name, str(value)) for name, value in dimension_values if value is not None
        ),
    )


def _pixel_format(dataset: Dataset, path: Path) -> PixelFormat:
    photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    allocated = int(dataset.BitsAllocated)
    stored = int(dataset.get("BitsStored") or allocated)
    high = int(dataset.get("HighBit", stored - 1))
    if photometric != "MONOCHROME2":
        msg = f"{path} does not hold plain gray values (MONOCHROME2); convert it first"
        raise VolumeError(msg)
    if allocated not in {8, 16, 32} or not 1 <= stored <= high + 1 <= allocated:
        msg = f"{path} has pixels of {stored} bits in {allocated}, which are not read"
        raise VolumeError(msg)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if min(rows, columns) < 1:
        msg = f"{path} has {rows} × {columns} pixels; check what it is"
        raise VolumeError(msg)
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    return PixelFormat(rows, columns, allocated, stored, high, signed)


def _finite_numbers(value: Any, count: int, path: Path, what: str) -> list[float]:  # noqa: ANN401
    numbers = [float(number) for number in ([] if value is None else value)]
    if len(numbers) != count or not all(abs(number) <= _MAX_MM for number in numbers):
        msg = f"{path} has no valid {what}: it takes {count} finite numbers; convert it first"
        raise VolumeError(msg)
    return numbers


def _check_directions(
    row_direction: list[float], column_direction: list[float], spacing: list[float], path: Path
) -> None:
    lengths = [float(np.linalg.norm(vector)) for vector in (row_direction, column_direction)]
    apart = max(abs(length - 1) for length in lengths)
    if (
        max(apart, abs(float(np.dot(row_direction, column_direction)))) > _UNIT_VECTOR_TOLERANCE
        or min(spacing) <= 0
    ):
        msg = f"{path} has rows and columns that are not perpendicular, or no pixel size"
        raise VolumeError(msg)
