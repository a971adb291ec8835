"""Pages and pictures about scores, and about masks without references."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unet_med.api.options import AnyPath
    from unet_med.evaluation import CohortScores
    from unet_med.evaluation.cohort import Progress
    from unet_med.reporting import Written


def report_scores(  # noqa: PLR0913 - the settings of the command, by their names
    scores: CohortScores,
    predictions: AnyPath,
    references: AnyPath,
    *,
    output: AnyPath,
    images: AnyPath | None = None,
    kinds: Sequence[str] = ("html",),
    progress: Progress | None = None,
) -> list[Path]:
    """Write report.html for scores, into the folder of their tables.

    Args:
        scores: What `evaluate` returned.
        predictions: What was scored.
        references: What it was scored against.
        output: Folder.
        images: Folder of the scans; None = those that sidecars beside the predictions name, where
            they are still there and unchanged.
        kinds: ``html`` for report.html, ``png`` for pictures of the worst and the median slice of
            each label.
        progress: Called after each case.

    Returns:
        What was written.

    Raises:
        InputError: ``images`` does not exist or holds no volume.
        OutputError: A file cannot be written.
    """
    from unet_med.batch.scans import scan_finder
    from unet_med.reporting import evaluation_sources, write_evaluation_report, write_overlays

    sources = evaluation_sources(
        scores, Path(predictions), Path(references), find_scan=scan_finder(images)
    )
    folder = Path(output)
    written: list[Path] = []
    if "html" in kinds:
        written += write_evaluation_report(scores, sources, folder, progress=progress).files
    return written + (write_overlays(scores, sources, folder) if "png" in kinds else [])


def report(
    folder: AnyPath,
    *,
    output: AnyPath | None = None,
    images: AnyPath | None = None,
    kinds: Sequence[str] = ("html",),
) -> Written:
    """Write report.html about an output folder of `segment`; as ``unet-med report``.

    Args:
        folder: The output folder: masks, sidecars and ledger.
        output: Where to write; None = into the same folder.
        images: Folder of the scans; None = those that the sidecars name.
        kinds: ``html`` and ``png``, as in `report_scores`.

    Returns:
        ``files``, and why cases could not be shown in ``failed``.

    Raises:
        InputError: There is no such folder, or it holds no masks of this program.
        OutputError: A file cannot be written.
    """
    from unet_med.batch.finished import report_folder
    from unet_med.batch.scans import scan_finder

    return report_folder(
        Path(folder),
        Path(folder if output is None else output),
        find_scan=scan_finder(images),
        kinds=kinds,
    )
