"""From the elements of a DICOM file to what its images say of their place and pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.errors import VolumeError
from unet_med.volumes.dicom_headers import PixelFormat, SeriesHeader, SliceHeader

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom import Dataset

_MACROS = {
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
_MOMENTS = (
    "EchoNumbers", "EchoTime", "EffectiveEchoTime", "TemporalPositionIdentifier",
    "TemporalPositionIndex", "DiffusionBValue", "TriggerTime", "AcquisitionNumber",
)  # fmt: skip
_LONGEST_MM = 1e6
_DIRECTION_TOLERANCE = 1e-3
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
        _slice(path, dataset, group, None if len(groups) == 1 and frame is None else frame)
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


def _find(groups: list[Dataset], name: str) -> Any:  # noqa: ANN401 - a DICOM value
    """Look an attribute up in its macro of each group, then plainly."""
    for group in groups:
        macro = group.get(_MACROS.get(name, ""))
        for place in ([*macro] if macro else []) + [group]:
            value = place.get(name)
            if value is not None and value != "":
                return value
    return None


def _slice(path: Path, dataset: Dataset, groups: list[Dataset], frame: int | None) -> SliceHeader:
    if _find(groups, "ModalityLUTSequence") is not None:
        msg = f"{path} maps its values by a table, which is not read; convert it first"
        raise VolumeError(msg)
    position = _numbers(_find(groups, "ImagePositionPatient"), 3, path, "position")
    directions = _numbers(_find(groups, "ImageOrientationPatient"), 6, path, "orientation")
    spacing = _numbers(_find(groups, "PixelSpacing"), 2, path, "pixel spacing")
    across, down = directions[:3], directions[3:]
    _check_directions(across, down, spacing, path)
    between = _find(groups, "SpacingBetweenSlices") or _find(groups, "SliceThickness") or 0
    (thickness,) = _numbers([between], 1, path, "slice thickness")
    slope, intercept = (
        _numbers([default if value is None else value], 1, path, "rescaling")[0]
        for value, default in (
            (_find(groups, "RescaleSlope"), 1.0),
            (_find(groups, "RescaleIntercept"), 0.0),
        )
    )
    moment = [(name, _find(groups, name)) for name in _MOMENTS]
    return SliceHeader(
        path=path,
        frame=frame,
        uid=str(dataset.get("SOPInstanceUID", "")),
        position=(position[0], position[1], position[2]),
        across=(across[0], across[1], across[2]),
        down=(down[0], down[1], down[2]),
        spacing_mm=(spacing[0], spacing[1]),
        thickness_mm=abs(thickness),
        slope=slope or 1.0,
        intercept=intercept,
        pixels=_pixels(dataset, path),
        moment=tuple((name, str(value)) for name, value in moment if value is not None),
    )


def _pixels(dataset: Dataset, path: Path) -> PixelFormat:
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


def _numbers(value: Any, count: int, path: Path, what: str) -> list[float]:  # noqa: ANN401
    numbers = [float(number) for number in ([] if value is None else value)]
    if len(numbers) != count or not all(abs(number) <= _LONGEST_MM for number in numbers):
        msg = f"{path} has no valid {what}: it takes {count} finite numbers; convert it first"
        raise VolumeError(msg)
    return numbers


def _check_directions(
    across: list[float], down: list[float], spacing: list[float], path: Path
) -> None:
    lengths = [float(np.linalg.norm(vector)) for vector in (across, down)]
    apart = max(abs(length - 1) for length in lengths)
    if max(apart, abs(float(np.dot(across, down)))) > _DIRECTION_TOLERANCE or min(spacing) <= 0:
        msg = f"{path} has rows and columns that are not perpendicular, or no pixel size"
        raise VolumeError(msg)
