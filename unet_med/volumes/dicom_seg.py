"""Write masks as DICOM segmentations that refer to their source images, verified frame by frame."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med._files import atomic_path
from unet_med._optional import import_optional
from unet_med.errors import OutputError, UnetMedError
from unet_med.volumes.dicom import DicomVolume
from unet_med.volumes.dicom_series import translate_dicom_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom import Dataset

    from unet_med.volumes.mask_metadata import MaskMetadata
    from unet_med.volumes.volume import Volume

PRIVATE_SCHEME = "99UNETMED"
"""Coding scheme of labels whose recipe states no code: the label's value stands for its name."""

_ANATOMICAL_STRUCTURE = ("91723000", "SCT", "Anatomical Structure")

_LONGEST_TEXT = 64  # of a segment label and of a code's meaning

_SERIES_NUMBER = 9000

_EMPTY_IF_MISSING = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip


def write_dicom_seg(
    slabs: Iterable[NDArray[Any]],
    path: Path,
    *,
    like: Volume,
    dtype: np.dtype[Any],
    metadata: MaskMetadata,
) -> None:
    """Write labels as a binary DICOM segmentation, one segment per label, and verify it.

    The file takes patient, study and frame of reference from the source images, as an archive
    needs them to file it. Label maps are whole in memory. Read back, every frame must lie at the
    place of its slice, and all of them together must give the labels.

    Args:
        slabs: Label values (i, j, n), in the order of the volume's slices.
        path: The target, ending in .dcm.
        like: The scan, a DICOM series.
        dtype: Unsigned type of the labels.
        metadata: Names and codes of labels, and how they were made.

    Raises:
        MissingExtraError: highdicom is not installed.
        OutputError: The scan is no DICOM series, lacks what a segmentation must refer to, or the
            file cannot be written or verified.
    """
    if not isinstance(like, DicomVolume):
        msg = f"{like.name} is no DICOM series, which a DICOM segmentation refers to; use nifti"
        raise OutputError(msg)
    import_optional("highdicom", extra="dicom")
    labels = np.concatenate([np.asarray(slab, dtype) for slab in slabs], axis=2)
    with atomic_path(path) as partial:
        try:
            segmentation = _segmentation(labels, like, metadata)
            segmentation.save_as(partial)
        except (UnetMedError, OSError):
            raise
        except Exception as exc:  # noqa: BLE001 - highdicom raises many kinds, and quotes values
            msg = (
                f"cannot write {path}: the series lacks something that a segmentation must refer "
                f"to ({type(exc).__name__}); use --format nifti"
            )
            raise OutputError(msg) from None
        if not np.array_equal(read_segmentation(partial, like, list(metadata.label_names)), labels):
            msg = f"cannot write {path}: it was read back with other labels"
            raise OutputError(msg)


def _segmentation(labels: NDArray[Any], like: DicomVolume, metadata: MaskMetadata) -> Dataset:
    import highdicom as hd

    provenance = metadata.provenance
    version = "unknown" if provenance is None else provenance.version
    images = _source_images(like)
    uid = _uids(labels, like, metadata)
    return hd.seg.Segmentation(
        source_images=images,
        pixel_array=_frames(labels, like, images, list(metadata.label_names)),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=_descriptions(metadata, version),
        series_instance_uid=uid("series"),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=uid("instance"),
        instance_number=1,
        manufacturer="unet_med",
        manufacturer_model_name="unet_med" if provenance is None else provenance.bundle[:64],
        software_versions=version,
        device_serial_number="0" if provenance is None else provenance.bundle_sha256[:16],
        content_description="unet_med",
        content_label="SEGMENTATION",
        content_creator_name="unet_med^",
        series_description="unet_med segmentation",
    )


def _source_images(like: DicomVolume) -> list[Dataset]:
    """Read the whole headers of the slices' files, in the order of the slices."""
    import pydicom

    paths = list(dict.fromkeys(image.path for image in like.slices))
    images = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    for image in images:
        for name in _EMPTY_IF_MISSING:  # must be there, may be empty
            if name not in image:
                setattr(image, name, "")
    return images


def _frames(
    labels: NDArray[Any], like: DicomVolume, images: list[Dataset], values: list[int]
) -> NDArray[Any]:
    """Return segment numbers (frame, row, column) in the order of the source's frames."""
    numbers = np.zeros(max(*values, 0) + 1, np.uint8 if len(values) < 256 else np.uint16)  # noqa: PLR2004
    numbers[values] = np.arange(1, len(values) + 1)
    planes = numbers[labels].transpose(2, 1, 0)
    if len(images) != 1 or like.slices[0].frame is None:
        return np.ascontiguousarray(planes)
    n_frames = int(images[0].NumberOfFrames)
    frames = np.zeros((n_frames, *planes.shape[1:]), planes.dtype)
    for image, plane in zip(like.slices, planes, strict=True):
        frames[image.frame or 0] = plane
    return frames


def _descriptions(metadata: MaskMetadata, version: str) -> list[Any]:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    algorithm = hd.AlgorithmIdentificationSequence(
        name="unet_med", family=codes.DCM.ArtificialIntelligence, version=version
    )
    return [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=name[:_LONGEST_TEXT] or str(value),
            segmented_property_category=hd.sr.CodedConcept(*_ANATOMICAL_STRUCTURE),
            segmented_property_type=_code(value, name, metadata),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number, (value, name) in enumerate(metadata.label_names.items(), start=1)
    ]


def _code(value: int, name: str, metadata: MaskMetadata) -> Any:  # noqa: ANN401 - untyped here
    import highdicom as hd

    own = (str(value), PRIVATE_SCHEME, name[:_LONGEST_TEXT] or str(value))
    return hd.sr.CodedConcept(*metadata.terminology.get(value, own))


def _uids(labels: NDArray[Any], like: DicomVolume, metadata: MaskMetadata) -> Any:  # noqa: ANN401
    """Return a maker of UIDs: equal labels of equal provenance on one series have equal ones."""
    import pydicom

    made = metadata.provenance.as_dict() if metadata.provenance else {}
    digest = hashlib.sha256(labels.tobytes()).hexdigest()

    def uid(what: str) -> str:
        sources = [what, digest, repr(sorted(made.items())), like.series.header.uid]
        return str(pydicom.uid.generate_uid(entropy_srcs=sources))

    return uid


FRAME_POSITION_TOLERANCE_MM = 1e-3
"""How far a frame's position may be from its slice's: both are the same decimal texts."""


def read_segmentation(path: Path, like: DicomVolume, values: Sequence[int]) -> NDArray[Any]:
    """Return the label map (i, j, k) in a segmentation, on the grid of its scan.

    Args:
        path: The segmentation.
        like: The scan.
        values: Label value of segment 1, 2, …

    Raises:
        OutputError: A frame lies where the scan has no slice, or in another direction.
        VolumeError: The file cannot be read.
    """
    pydicom = import_optional("pydicom", extra="dicom")
    with translate_dicom_errors(path):
        dataset = pydicom.dcmread(path)
        frames = np.asarray(dataset.pixel_array).reshape(-1, dataset.Rows, dataset.Columns)
        shared = dataset.SharedFunctionalGroupsSequence[0]
        labels = np.zeros(like.geometry.shape, np.min_scalar_type(max(*values, 0)))
        positions = np.array([image.position for image in like.slices])
        _check_shared(shared, like, path)
        for group, frame in zip(dataset.PerFrameFunctionalGroupsSequence, frames, strict=True):
            position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
            apart = np.linalg.norm(positions - position, axis=1)
            if apart.min() > FRAME_POSITION_TOLERANCE_MM:
                msg = f"{path} has a frame where the scan has no slice"
                raise OutputError(msg)
            number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            labels[:, :, int(apart.argmin())][frame.T > 0] = values[number - 1]
    return labels


def _check_shared(shared: Any, like: DicomVolume, path: Path) -> None:  # noqa: ANN401 - untyped
    measures, orientation = shared.PixelMeasuresSequence[0], shared.PlaneOrientationSequence[0]
    first = like.slices[0]
    found = [*measures.PixelSpacing, *orientation.ImageOrientationPatient]
    if not np.allclose(
        found, [*first.spacing_mm, *first.row_direction, *first.column_direction], atol=1e-5
    ):
        msg = f"{path} was read back with other directions or pixel sizes"
        raise OutputError(msg)
