"""Masks as DICOM segmentations that refer to the images they were made of."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med._files import atomic_path
from unet_med._optional import require
from unet_med.errors import OutputError, UnetMedError
from unet_med.volumes.dicom import DicomVolume
from unet_med.volumes.seg_proof import labels_in

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom import Dataset

    from unet_med.volumes.formats import MaskNotes
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


def write_seg(
    slabs: Iterable[NDArray[Any]],
    path: Path,
    *,
    like: Volume,
    dtype: np.dtype[Any],
    notes: MaskNotes,
) -> None:
    """Write labels as a binary DICOM segmentation, one segment per label, and prove it.

    The file takes patient, study and frame of reference from the source images, as an archive
    needs them to file it. Label maps are whole in memory. Read back, every frame must lie at the
    place of its slice, and all of them together must give the labels.

    Args:
        slabs: Label values (i, j, n), in the order of the volume's slices.
        path: The target, ending in .dcm.
        like: The scan, a DICOM series.
        dtype: Unsigned type of the labels.
        notes: Names and codes of labels, and how they were made.

    Raises:
        MissingExtraError: highdicom is not installed.
        OutputError: The scan is no DICOM series, lacks what a segmentation must refer to, or the
            file cannot be written or proven.
    """
    if not isinstance(like, DicomVolume):
        msg = f"{like.name} is no DICOM series, which a DICOM segmentation refers to; use nifti"
        raise OutputError(msg)
    require("highdicom", extra="dicom")
    labels = np.concatenate([np.asarray(slab, dtype) for slab in slabs], axis=2)
    with atomic_path(path) as partial:
        try:
            segmentation = _segmentation(labels, like, notes)
            segmentation.save_as(partial)
        except (UnetMedError, OSError):
            raise
        except Exception as exc:  # noqa: BLE001 - highdicom raises many kinds, and quotes values
            msg = (
                f"cannot write {path}: the series lacks something that a segmentation must refer "
                f"to ({type(exc).__name__}); use --format nifti"
            )
            raise OutputError(msg) from None
        if not np.array_equal(labels_in(partial, like, list(notes.label_names)), labels):
            msg = f"cannot write {path}: it was read back with other labels"
            raise OutputError(msg)


def _segmentation(labels: NDArray[Any], like: DicomVolume, notes: MaskNotes) -> Dataset:
    import highdicom as hd

    provenance = notes.provenance
    version = "unknown" if provenance is None else provenance.version
    images = _source_images(like)
    uid = _uids(labels, like, notes)
    return hd.seg.Segmentation(
        source_images=images,
        pixel_array=_frames(labels, like, images, list(notes.label_names)),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=_descriptions(notes, version),
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


def _descriptions(notes: MaskNotes, version: str) -> list[Any]:
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
            segmented_property_type=_code(value, name, notes),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number, (value, name) in enumerate(notes.label_names.items(), start=1)
    ]


def _code(value: int, name: str, notes: MaskNotes) -> Any:  # noqa: ANN401 - untyped here
    import highdicom as hd

    own = (str(value), PRIVATE_SCHEME, name[:_LONGEST_TEXT] or str(value))
    return hd.sr.CodedConcept(*notes.label_codes.get(value, own))


def _uids(labels: NDArray[Any], like: DicomVolume, notes: MaskNotes) -> Any:  # noqa: ANN401
    """Return a maker of UIDs: equal labels of equal provenance on one series have equal ones."""
    import pydicom

    made = notes.provenance.as_dict() if notes.provenance else {}
    digest = hashlib.sha256(labels.tobytes()).hexdigest()

    def uid(what: str) -> str:
        sources = [what, digest, repr(sorted(made.items())), like.series.header.uid]
        return str(pydicom.uid.generate_uid(entropy_srcs=sources))

    return uid
