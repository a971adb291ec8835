"""Open the files of a case, and make the images of those that can be shown."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unet_med.errors import UnetMedError
from unet_med.reporting.case_images import CaseVolumes, case_image_data
from unet_med.volumes import open_volume

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from unet_med._progress import CaseProgress
    from unet_med.reporting.report_data import CaseImageStore
    from unet_med.volumes import Volume

logger = logging.getLogger(__name__)

NO_SCAN = "The scan is not at hand, so masks stand on a plain ground: --images FOLDER names it."


@dataclass(frozen=True, slots=True)
class CaseSources:
    """Name the files of a case for a report.

    Attributes:
        case: Its id.
        slice_axis: What its slices are: ``axial``, ``coronal`` or ``sagittal``.
        prediction: Mask file, if there is one.
        reference: Mask file, if there is one.
        scan: Scan file, if it is at hand.
        channel: Channel of a 4D scan.
        note: Why there is no scan.

    Example:
        >>> from pathlib import Path
        >>> CaseSources("a", "axial", prediction=Path("p/a.nii.gz")).note
        'The scan is not at hand, so masks stand on a plain ground: --images FOLDER names it.'
    """

    case: str
    slice_axis: str
    prediction: Path | None = None
    reference: Path | None = None
    scan: Path | None = None
    channel: int | None = None
    note: str = NO_SCAN

    def open(self) -> CaseVolumes:
        """Open the files; a scan that cannot be read is left out with a note.

        Raises:
            VolumeError: A mask cannot be read.
        """
        prediction, reference = (
            None if path is None else open_volume(path)
            for path in (self.prediction, self.reference)
        )
        scan, note = self._open_scan()
        return CaseVolumes(prediction, reference, scan, note)

    def _open_scan(self) -> tuple[Volume | None, str]:
        if self.scan is None:
            return None, self.note
        try:
            return open_volume(self.scan, channel=self.channel), ""
        except UnetMedError as exc:
            return None, f"The scan cannot be shown: {exc}."


def add_case_images(
    cases: Collection[CaseSources], store: CaseImageStore, *, progress: CaseProgress | None = None
) -> dict[str, str]:
    """Make the pictures of cases.

    Returns:
        Why there are none, by case: a case that cannot be shown stops no report.
    """
    failed = {}
    for done, one in enumerate(cases, start=1):
        try:
            store.add(one.case, case_image_data(one.open(), slice_axis=one.slice_axis))
        except UnetMedError as exc:
            logger.warning("%s cannot be shown in the report: %s", one.case, exc)
            failed[one.case] = str(exc)
        except Exception as exc:  # the scores are there already: a picture must not lose them
            logger.exception("%s cannot be shown in the report", one.case)
            failed[one.case] = f"{type(exc).__name__}: {exc}; see the log"
        if progress is not None:
            progress(done, len(cases), f"report: {one.case}")
    return failed
