"""Find DICOM files, read their headers, group them by series and select the series to read.

Messages never quote an element's value: a damaged file can have a patient's name anywhere.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, cast

from unet_med._optional import import_optional
from unet_med.errors import InputError, UnetMedError, VolumeError
from unet_med.volumes.dicom_header import image_headers, series_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pydicom import Dataset

    from unet_med.volumes.dicom_header import SeriesHeader, SliceHeader
    from unet_med.volumes.limits import SeriesSelection

DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
"""A file that ends so is taken for DICOM whatever it holds, so that a damaged one is reported."""

_NON_DICOM_ENDINGS = {
    ".json", ".txt", ".csv", ".tsv", ".xml", ".html", ".md", ".pdf", ".log", ".yaml", ".yml",
    ".png", ".jpg", ".jpeg", ".gz", ".nii", ".hdr", ".img", ".nrrd", ".mha", ".mhd", ".raw",
    ".mgz", ".mgh", ".zip", ".py", ".bval", ".bvec",
}  # fmt: skip
"""Endings of what lies beside scans; these files are not opened."""

_PREAMBLE_BYTES = 128

_MAGIC = b"DICM"


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM, by its ending or by the four bytes after its preamble.

    DICOM files often have no ending, or a number for one.

    Example:
        >>> from pathlib import Path
        >>> is_dicom(Path("scan.nii.gz"))
        False
    """
    if path.suffix.lower() in _NON_DICOM_ENDINGS or not path.is_file():
        return False
    if path.name.lower().endswith(DICOM_ENDINGS):
        return True
    try:
        with path.open("rb") as stream:
            start = stream.read(_PREAMBLE_BYTES + len(_MAGIC))
    except OSError:
        return False
    return start[_PREAMBLE_BYTES:] == _MAGIC


def dicom_files(folder: Path) -> list[Path]:
    """Return the DICOM files that lie in a folder itself, by name; hidden files are passed over."""
    names = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    return [path for path in names if is_dicom(path)]


def holds_dicom(folder: Path) -> bool:
    """Return whether a folder itself holds a DICOM file.

    Example:
        >>> import pathlib, tempfile
        >>> holds_dicom(pathlib.Path(tempfile.mkdtemp()))
        False
    """
    return any(is_dicom(path) for path in folder.iterdir() if not path.name.startswith("."))


IDENTIFIERS = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyDate",
    "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription",
)  # fmt: skip
"""What `read_identifiers` reads."""

_DEFLATED = "1.2.840.10008.1.2.1.99"

_NON_IMAGE_MODALITIES = {"RTDOSE", "SEG", "RTSTRUCT", "RTPLAN", "PR", "SR", "KO", "REG", "DOC"}

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
def translate_dicom_errors(path: Path) -> Iterator[None]:
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


def read_slice_headers(path: Path) -> tuple[SeriesHeader, list[SliceHeader]] | None:
    """Read the header of a DICOM file.

    Returns:
        Its series and its images; None for objects that are no scan (reports, plans, color
        pictures, images without a place in the patient).

    Raises:
        MissingExtraError: pydicom is not installed.
        VolumeError: The file is damaged, or has pixels that cannot be used.
    """
    dataset = _read_dataset(path)
    validation = import_optional("pydicom", extra="dicom").config.disable_value_validation
    with translate_dicom_errors(path), validation():
        if str(dataset.get("Modality", "")) in _NON_IMAGE_MODALITIES or "Rows" not in dataset:
            return None
        images = image_headers(path, dataset)
        return None if images is None else (series_header(dataset), images)


def read_identifiers(path: Path) -> dict[str, str]:
    """Read who and what was scanned: only for users who ask to keep it.

    Raises:
        MissingExtraError: pydicom is not installed.
        VolumeError: The file is damaged.
    """
    pydicom = import_optional("pydicom", extra="dicom")
    with translate_dicom_errors(path):
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[*IDENTIFIERS])
        return {name: str(dataset[name].value) for name in IDENTIFIERS if name in dataset}


def _read_dataset(path: Path) -> Dataset:
    pydicom = import_optional("pydicom", extra="dicom")
    # Validation would warn of odd values and quote them.
    with translate_dicom_errors(path), pydicom.config.disable_value_validation():
        meta = pydicom.filereader.read_file_meta_info(path)
        if meta.get("TransferSyntaxUID") == _DEFLATED:  # it would be inflated whole, unasked
            msg = f"{path} is deflated DICOM, which is not read; convert it to another syntax"
            raise VolumeError(msg)
        return cast("Dataset", pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS))


_LOCALIZERS = {"LOCALIZER", "SCOUT"}

_MAX_LISTED = 6


@dataclass(frozen=True, slots=True)
class DicomSeries:
    """A series and its images."""

    header: SeriesHeader
    images: tuple[SliceHeader, ...]

    def __str__(self) -> str:
        """Say what it is without naming anybody: no description, no UID."""
        first = self.images[0]
        size = f"{first.pixels.rows} × {first.pixels.columns}"
        number = "?" if self.header.number < 0 else str(self.header.number)
        spacing = f"{first.spacing_mm[0]:.3g} × {first.spacing_mm[1]:.3g} mm"
        kind = "localizer, " if self.is_localizer else ""
        return (
            f"series {number} ({kind}{self.header.modality}, {len(self.images)} images of {size}, "
            f"{spacing})"
        )

    @property
    def is_localizer(self) -> bool:
        """Whether it says so, or all of its images do."""
        return bool(_LOCALIZERS & set(self.header.image_type))

    @property
    def is_original(self) -> bool:
        """Whether the scanner made it, rather than a computation on another series."""
        return "DERIVED" not in self.header.image_type[:1]


def find_series(path: Path) -> list[DicomSeries]:
    """Read the headers of a DICOM file, or of all those in a folder, and group them by series.

    Images that call themselves localizers are a series of their own, even when they have the
    UID of the scan they plan.

    Raises:
        MissingExtraError: pydicom is not installed.
        VolumeError: A file cannot be read: its slice would be missing.
    """
    files = dicom_files(path) if path.is_dir() else [path]
    found: dict[tuple[str, bool], tuple[SeriesHeader, list[SliceHeader]]] = {}
    for file in files:
        read = read_slice_headers(file)
        if read is not None:
            header, images = read
            key = (header.uid, bool(_LOCALIZERS & set(header.image_type)))
            found.setdefault(key, (header, []))[1].extend(images)
    series = [DicomSeries(header, tuple(images)) for header, images in found.values()]
    return sorted(series, key=lambda item: (item.header.number, item.header.uid))


def select_series(
    found: Sequence[DicomSeries], selection: SeriesSelection, *, name: str
) -> DicomSeries:
    """Choose the series that is the scan.

    Asked for by number, UID or pattern, that one. Otherwise the only one of the recipe's
    modality that is no localizer; among several, the only one that the scanner made itself.

    Raises:
        InputError: None or several fit; the text lists them by number.
        VolumeError: There is no series at all.
    """
    if not found:
        msg = f"{name} holds no DICOM series of plain images; check the folder"
        raise VolumeError(msg)
    fitting = (
        list(found) if selection.query is None else [s for s in found if _matches(s, selection)]
    )
    if selection.query is None:
        for keep in _preferences(selection):
            fitting = [series for series in fitting if keep(series)] or fitting
        if selection.modality and all(s.header.modality != selection.modality for s in fitting):
            fitting = []
    if len(fitting) == 1:
        return fitting[0]
    shown = "; ".join(str(series) for series in (fitting or found)[:_MAX_LISTED])
    more = len(fitting or found) - _MAX_LISTED
    shown += f"; and {more} more" if more > 0 else ""
    if fitting:
        msg = f"{name} holds several series that could be meant: {shown}; choose with --series N"
    else:
        wanted = (
            f"--series {selection.query}" if selection.query else f"modality {selection.modality}"
        )
        msg = f"{name} holds no series for {wanted}: {shown}"
    raise InputError(msg)


def _preferences(selection: SeriesSelection) -> list[Callable[[DicomSeries], bool]]:
    return [
        lambda series: selection.modality in (None, series.header.modality),
        lambda series: not series.is_localizer,
        lambda series: series.is_original,
    ]


def _matches(series: DicomSeries, selection: SeriesSelection) -> bool:
    wanted = selection.query or ""
    if wanted in (series.header.uid, str(series.header.number)):
        return True
    texts = series.header.description.lower().split("\n")
    return not wanted.isdecimal() and any(fnmatchcase(text, wanted.lower()) for text in texts)
