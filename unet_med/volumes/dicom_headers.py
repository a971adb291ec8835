"""DICOM headers: what each image says of its place and its pixels, and nothing about a patient.

Only the attributes named here are looked at. Messages never quote an element's value: a damaged
file can have a patient's name anywhere.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from unet_med._optional import require
from unet_med.errors import UnetMedError, VolumeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom import Dataset

Triple = tuple[float, float, float]

IDENTIFIERS = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyDate",
    "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription",
)  # fmt: skip
"""What `read_identifiers` reads."""

_DEFLATED = "1.2.840.10008.1.2.1.99"
_NO_SCANS = {"RTDOSE", "SEG", "RTSTRUCT", "RTPLAN", "PR", "SR", "KO", "REG", "DOC"}
_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber",
    "SeriesDescription", "ProtocolName", "Modality", "ImageType", "FrameOfReferenceUID", "Rows",
    "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope",
    "RescaleIntercept", "ModalityLUTSequence", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "EchoNumbers", "EchoTime", "TemporalPositionIdentifier",
    "AcquisitionNumber", "DiffusionBValue", "TriggerTime", "AcquisitionTime",
]  # fmt: skip


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
        position: Centre of the first pixel, LPS+ mm.
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


@contextmanager
def reading_dicom(path: Path) -> Iterator[None]:
    """Turn whatever a DICOM library raises into one VolumeError that quotes no value."""
    try:
        yield
    except UnetMedError:
        raise
    except OSError as exc:
        msg = f"{path} cannot be read: {exc.strerror or 'it is damaged'}; check rights and the disk"
        raise VolumeError(msg) from exc
    except Exception as exc:  # noqa: BLE001 - decoders raise anything, and their texts quote values
        msg = (
            f"{path} is not DICOM that can be read ({type(exc).__name__}); copy it again, or "
            "convert it first"
        )
        raise VolumeError(msg) from None if not isinstance(exc, MemoryError) else exc


def read_slices(path: Path) -> tuple[SeriesHeader, list[SliceHeader]] | None:
    """Read the header of a DICOM file.

    Returns:
        Its series and its images; None for objects that are no scan (reports, plans, colour
        pictures, images without a place in the patient).

    Raises:
        MissingExtraError: pydicom is not installed.
        VolumeError: The file is damaged, or has pixels that cannot be used.
    """
    dataset = _read(path)
    if str(dataset.get("Modality", "")) in _NO_SCANS or "Rows" not in dataset:
        return None
    validation = require("pydicom", extra="dicom").config.disable_value_validation
    with reading_dicom(path), validation():
        groups = _functional_groups(dataset)
        if groups is None or int(dataset.get("SamplesPerPixel") or 1) != 1:
            return None
        images = [
            _slice(path, dataset, group, None if len(groups) == 1 and frame is None else frame)
            for frame, group in groups
        ]
        return _series(dataset), images


def read_identifiers(path: Path) -> dict[str, str]:
    """Read who and what was scanned: only for users who ask to keep it.

    Raises:
        MissingExtraError: pydicom is not installed.
        VolumeError: The file is damaged.
    """
    pydicom = require("pydicom", extra="dicom")
    with reading_dicom(path):
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[*IDENTIFIERS])
        return {name: str(dataset[name].value) for name in IDENTIFIERS if name in dataset}


def _read(path: Path) -> Dataset:
    pydicom = require("pydicom", extra="dicom")
    # Validation would warn of odd values and quote them.
    with reading_dicom(path), pydicom.config.disable_value_validation():
        meta = pydicom.filereader.read_file_meta_info(path)
        if meta.get("TransferSyntaxUID") == _DEFLATED:  # it would be inflated whole, unasked
            msg = f"{path} is deflated DICOM, which is not read; convert it to another syntax"
            raise VolumeError(msg)
        return cast("Dataset", pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS))


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
        msg = f"{path} does not hold plain grey values (MONOCHROME2); convert it first"
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


def _series(dataset: Dataset) -> SeriesHeader:
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


_LONGEST_MM = 1e6
_DIRECTION_TOLERANCE = 1e-3
"""Direction cosines are decimal texts of often six digits, rounded ones of four."""


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
