"""Masks against references."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from unet_med.api.reporting import report_scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unet_med.api.options import AnyPath
    from unet_med.evaluation import CohortScores, MetricSettings
    from unet_med.evaluation.cohort import Progress
    from unet_med.metrics import EmptyPolicy


class EvaluateOptions(TypedDict, total=False):
    """What decides the tables; see `unet_med.evaluation.evaluate_cohort`."""

    slice_axis: str
    empty: EmptyPolicy
    labels: Sequence[int] | None
    label_names: Mapping[int, str] | None
    metrics: MetricSettings | None
    jobs: int
    command: str | None
    progress: Progress | None


def evaluate(
    predictions: AnyPath,
    references: AnyPath,
    *,
    output: AnyPath | None = None,
    images: AnyPath | None = None,
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
    from unet_med.batch.scans import scan_finder
    from unet_med.evaluation import evaluate_cohort

    folder = None if output is None else Path(output)
    if images is not None:
        scan_finder(images)  # a wrong path is told now, not after an hour of scoring
    scores = evaluate_cohort(Path(predictions), Path(references), output=folder, **options)
    if folder is not None:
        report_scores(scores, predictions, references, output=folder, images=images)
    return scores
