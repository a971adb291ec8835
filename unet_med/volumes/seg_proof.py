"""Reading a DICOM segmentation back, frame by frame, by the places that its frames state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med._optional import require
from unet_med.errors import OutputError
from unet_med.volumes.dicom_reading import reading_dicom

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.volumes.dicom import DicomVolume

SAME_PLACE_MM = 1e-3
"""How far a frame's position may be from its slice's: both are the same decimal texts."""


def labels_in(path: Path, like: DicomVolume, values: Sequence[int]) -> NDArray[Any]:
    """Return the label map (i, j, k) in a segmentation, on the grid of its scan.

    Args:
        path: The segmentation.
        like: The scan.
        values: Label value of segment 1, 2, …

    Raises:
        OutputError: A frame lies where the scan has no slice, or in another direction.
        VolumeError: The file cannot be read.
    """
    pydicom = require("pydicom", extra="dicom")
    with reading_dicom(path):
        dataset = pydicom.dcmread(path)
        frames = np.asarray(dataset.pixel_array).reshape(-1, dataset.Rows, dataset.Columns)
        shared = dataset.SharedFunctionalGroupsSequence[0]
        labels = np.zeros(like.geometry.shape, np.min_scalar_type(max(*values, 0)))
        places = np.array([image.position for image in like.slices])
        _check_shared(shared, like, path)
        for group, frame in zip(dataset.PerFrameFunctionalGroupsSequence, frames, strict=True):
            position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
            apart = np.linalg.norm(places - position, axis=1)
            if apart.min() > SAME_PLACE_MM:
                msg = f"{path} has a frame where the scan has no slice"
                raise OutputError(msg)
            number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            labels[:, :, int(apart.argmin())][frame.T > 0] = values[number - 1]
    return labels


def _check_shared(shared: Any, like: DicomVolume, path: Path) -> None:  # noqa: ANN401 - untyped
    measures, orientation = shared.PixelMeasuresSequence[0], shared.PlaneOrientationSequence[0]
    first = like.slices[0]
    found = [*measures.PixelSpacing, *orientation.ImageOrientationPatient]
    if not np.allclose(found, [*first.spacing_mm, *first.across, *first.down], atol=1e-5):
        msg = f"{path} was read back with other directions or pixel sizes"
        raise OutputError(msg)
