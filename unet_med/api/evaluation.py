"""Score masks against references, and write reports about scores or segmented folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unet_med._progress import CaseProgress
    from unet_med.api.options import StrPath
    from unet_med.evaluation import CohortScores, MetricSettings
    from unet_med.metrics import EmptyPolicy
    from unet_med.reporting import WrittenReport


def report_scores(  # noqa: PLR0913 - the settings of the command, by their names
    scores: CohortScores,
    predictions: StrPath,
    references: StrPath,
    *,
    output: StrPath,
    images: StrPath | None = None,
    kinds: Sequence[str] = ("html",),
    progress: CaseProgress | None = None,
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
    from unet_med.batch.output_folder import scan_finder
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
    folder: StrPath,
    *,
    output: StrPath | None = None,
    images: StrPath | None = None,
    kinds: Sequence[str] = ("html",),
) -> WrittenReport:
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
    from unet_med.batch.output_folder import report_output_folder, scan_finder

    return report_output_folder(
        Path(folder),
        Path(folder if output is None else output),
        find_scan=scan_finder(images),
        kinds=kinds,
    )


class EvaluateOptions(TypedDict, total=False):
    """What decides the tables; see `unet_med.evaluation.evaluate_cohort`."""

    slice_axis: str
    empty: EmptyPolicy
    labels: Sequence[int] | None
    label_names: Mapping[int, str] | None
    metrics: MetricSettings | None
    jobs: int
    command: str | None
    progress: CaseProgress | None


def evaluate(
    predictions: StrPath,
    references: StrPath,
    *,
    output: StrPath | None = None,
    images: StrPath | None = None,
    **options: Unpack[EvaluateOptions],
) -> CohortScores:
    """Score predictions against references of the same name; as ``unet-med evaluate``.

    Args:
        predictions: Folder of masks, or one mask.
        references: The same.
        output: Folder for slices.csv, cases.csv, summary.json and report.html; None writes
            nothing.
        images: Folder of the scans for the report; None = those that sidecars name.
        **options: ``slice_axis``, ``empty``, ``labels``, ``label_names``, ``metrics``
            (what is measured besides counts), ``jobs`` (processes), ``command``, ``progress``.

    Returns:
        All scores: ``slices``, ``cases`` and ``summary``.

    Raises:
        InputError: A path does not exist, holds no mask, or nothing fits together.
        OutputError: A table cannot be written.
    """
    from unet_med.batch.output_folder import scan_finder
    from unet_med.evaluation import evaluate_cohort

    folder = None if output is None else Path(output)
    if images is not None:
        scan_finder(images)  # a wrong path is told now, not after an hour of scoring
    scores = evaluate_cohort(Path(predictions), Path(references), output=folder, **options)
    if folder is not None:
        report_scores(scores, predictions, references, output=folder, images=images)
    return scores
