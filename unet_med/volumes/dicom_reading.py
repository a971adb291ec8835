"""DICOM files: the elements that are looked at, and no others.

Messages never quote an element's value: a damaged file can have a patient's name anywhere.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from unet_med._optional import require
from unet_med.errors import UnetMedError, VolumeError
from unet_med.volumes.dicom_elements import image_headers, series_header

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom import Dataset

    from unet_med.volumes.dicom_headers import SeriesHeader, SliceHeader

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
        Its series and its images; None for objects that are no scan (reports, plans, color
        pictures, images without a place in the patient).

    Raises:
        MissingExtraError: pydicom is not installed.
        VolumeError: The file is damaged, or has pixels that cannot be used.
    """
    dataset = _read(path)
    validation = require("pydicom", extra="dicom").config.disable_value_validation
    with reading_dicom(path), validation():
        if str(dataset.get("Modality", "")) in _NO_SCANS or "Rows" not in dataset:
            return None
        images = image_headers(path, dataset)
        return None if images is None else (series_header(dataset), images)


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
