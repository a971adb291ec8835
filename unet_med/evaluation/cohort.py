"""Evaluate a cohort, or two against each other; check that all masks use the same labels.

A prediction of {0, 255} against a reference of {0, 1} would score 0 for both labels, which looks
like a bad network and is a bad file. But a prediction of {2} against a reference of {1} is a
plain miss when 1 and 2 belong to one set of labels. The references of the whole cohort, and
the labels somebody named, tell the two apart.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med.errors import LabelError
from unet_med.evaluation.cohort_scores import CohortScores
from unet_med.evaluation.comparison import Comparison
from unet_med.evaluation.pairing import pair_cases
from unet_med.evaluation.parallel import evaluate_pairs
from unet_med.evaluation.scores import (
    CaseScores,
    ExtraPrediction,
    FailedCase,
    LabelKey,
    MetricSettings,
)
from unet_med.evaluation.settings import EvaluationSettings
from unet_med.evaluation.tables import SUMMARY_FILE, make_folder, write_summary
from unet_med.metrics import EmptyPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

    from unet_med._progress import CaseProgress


def evaluate_cohort(  # noqa: PLR0913 - the settings of the command, by their names
    predictions: str | PathLike[str],
    references: str | PathLike[str],
    *,
    output: str | PathLike[str] | None = None,
    slice_axis: str = "thickest",
    empty: EmptyPolicy | str = EmptyPolicy.SKIP,
    labels: Sequence[int] | None = None,
    label_names: Mapping[int, str] | None = None,
    metrics: MetricSettings | None = None,
    jobs: int = 1,
    command: str | None = None,
    progress: CaseProgress | None = None,
) -> CohortScores:
    """Score predictions against references of the same name.

    A case that cannot be scored never stops the others: it is listed in ``failed``.

    Args:
        predictions: Folder of masks, or one mask.
        references: The same.
        output: Folder for slices.csv, cases.csv and summary.json; None writes nothing.
        slice_axis: ``axial``, ``coronal``, ``sagittal`` or ``thickest``, chosen per reference.
        empty: What a slice without the label in either mask counts for in means over slices.
        labels: Values to score; None for every value other than 0 that occurs in the cohort.
        label_names: Names by value; they win over names that masks carry.
        metrics: What is measured beside the counts; surface metrics by default.
        jobs: Processes that score cases side by side.
        command: Command line to name in the summary.
        progress: Called after each case.

    Returns:
        All scores.

    Raises:
        InputError: A path does not exist, holds no mask, or nothing fits together.
        OutputError: A table cannot be written.

    Example:
        >>> import nibabel as nib
        >>> import numpy as np
        >>> import tempfile
        >>> mask = nib.Nifti1Image(np.eye(6, dtype=np.uint8)[..., None], np.eye(4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     nib.save(mask, f"{folder}/a.nii")
        ...     evaluate_cohort(folder, folder)
        CohortScores(1 case scored, 0 failed, 0 extra; labels: 1)
    """
    settings = EvaluationSettings(
        slice_axis=slice_axis,
        empty=EmptyPolicy(empty),
        labels=None if labels is None else tuple(labels),
        label_names=dict(label_names or {}),
        metrics=metrics or MetricSettings(),
    )
    folder = None if output is None else Path(output)
    pairing = pair_cases(Path(predictions), Path(references))
    if folder is not None:
        make_folder(folder)  # an hour of scores for a folder that cannot be made helps nobody
    scored, failed = [], list(pairing.failed)
    results = evaluate_pairs(pairing.pairs, settings, jobs=jobs)
    for done, result in enumerate(results, start=1):
        if isinstance(result, CaseScores):
            scored.append(result)
        else:
            failed.append(result)
        if progress is not None:
            progress(done, len(pairing.pairs), result.case)
    cohort = replace(
        assemble_cohort(scored, failed=failed, extra=pairing.extra, settings=settings),
        command=command,
    )
    if folder is not None:
        cohort.write(folder)
    return cohort


BASELINE_FOLDER = "baseline"
"""Sub-folder for the tables of the baseline."""


def compare_cohorts(
    predictions: str | PathLike[str],
    baseline: str | PathLike[str],
    *,
    references: str | PathLike[str],
    output: str | PathLike[str] | None = None,
    **options: Any,  # noqa: ANN401 - those of evaluate_cohort
) -> Comparison:
    """Score two sets of predictions against the same references, case by case.

    Args:
        predictions: Folder of masks, or one mask.
        baseline: The predictions to compare with.
        references: Folder of masks, or one mask.
        output: Folder for the tables of ``predictions``, comparison.csv and
            comparison_slices.csv, with the tables of the other in its sub-folder ``baseline``.
        options: See `evaluate_cohort`.

    Raises:
        InputError: A path does not exist, holds no mask, or nothing fits together.
        OutputError: A table cannot be written.

    Example:
        >>> import nibabel as nib
        >>> import numpy as np
        >>> import tempfile
        >>> mask = nib.Nifti1Image(np.eye(6, dtype=np.uint8)[..., None], np.eye(4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     nib.save(mask, f"{folder}/a.nii")
        ...     compare_cohorts(folder, folder, references=folder)
        Comparison(1 pair; labels: 1)
    """
    folder = None if output is None else Path(output)
    if folder is not None:
        make_folder(folder)
    candidate, other = (
        evaluate_cohort(one, references, **options) for one in (predictions, baseline)
    )
    comparison = Comparison.of(candidate, other)
    if folder is not None:
        candidate.write(folder)
        make_folder(folder / BASELINE_FOLDER)
        other.write(folder / BASELINE_FOLDER)
        comparison.write(folder)
        content = {**candidate.summary, "comparison": comparison.summary}
        write_summary(folder / SUMMARY_FILE, content)
    return comparison


def assemble_cohort(
    cases: Iterable[CaseScores],
    *,
    failed: Iterable[FailedCase] = (),
    extra: Iterable[ExtraPrediction] = (),
    settings: EvaluationSettings,
) -> CohortScores:
    """Assemble cases into a cohort: check their label values, give all the same labels.

    Args:
        cases: Counts per case, of every label that the masks hold.
        failed: Cases that failed before.
        extra: Predictions without a reference.
        settings: What decides the tables.

    Example:
        >>> import numpy as np
        >>> from unet_med.evaluation import score_volumes
        >>> from unet_med.volumes import from_array
        >>> mask = from_array(np.eye(6, dtype=np.uint8)[..., None], np.eye(4))
        >>> cohort = assemble_cohort([score_volumes(mask, mask)], settings=EvaluationSettings())
        >>> cohort.summary["labels"][0]["volume_dice"]["mean"]
        1.0
    """
    counted = list(cases)
    known = label_groups(
        [
            settings.labels or (),
            settings.label_names,
            *(region.values for region in settings.metrics.regions),
            *(case.reference_values for case in counted),
            *(case.label_names for case in counted),
        ]
    )
    scored, unscored = [], list(failed)
    for case in counted:
        try:
            check_label_values(case, known)
        except LabelError as exc:
            unscored.append(FailedCase(case.case, str(exc)))
        else:
            scored.append(case)
    regions = settings.metrics.regions
    found = sorted({label for case in scored for label in case.labels if isinstance(label, int)})
    values = found if settings.labels is None else settings.labels
    labels = (*values, *(region.key for region in regions))
    names: dict[LabelKey, str] = {region.key: region.name for region in regions}
    for source in (*(case.label_names for case in scored), settings.label_names):
        names.update(source.items())
    return CohortScores(
        scored=tuple(sorted((c.with_labels(labels) for c in scored), key=lambda c: c.case)),
        failed=tuple(sorted(unscored, key=lambda one: one.case)),
        extra=tuple(extra),
        labels=labels,
        label_names=names,
        settings=settings,
    )


LabelGroups = tuple[frozenset[int], ...]


def label_groups(groups: Iterable[Iterable[int]]) -> LabelGroups:
    """Merge groups of label values that share one: values that were seen together belong together.

    Example:
        >>> [sorted(group) for group in label_groups([{1, 2}, {255}, {2, 3}, set()])]
        [[255], [1, 2, 3]]
    """
    merged: list[frozenset[int]] = []
    for group in groups:
        joined = frozenset(group)
        if not joined:
            continue
        apart = []
        for other in merged:
            if other & joined:
                joined |= other
            else:
                apart.append(other)
        merged = [*apart, joined]
    return tuple(merged)


def check_label_values(scores: CaseScores, known: LabelGroups) -> None:
    """Refuse a prediction whose labels have nothing to do with those of its reference.

    Args:
        scores: The case.
        known: Label values that belong together, from every reference and every named label.

    Raises:
        LabelError: Both masks hold labels, they share none, and nothing known connects them;
            or the reference is empty and the prediction holds none of the known labels.
    """
    predicted, true = scores.prediction_values, scores.reference_values
    if not predicted or not known:
        return
    related = [group for group in known if not true or group & true]
    if any(group & predicted for group in related):
        return
    expected = true or frozenset().union(*known)
    holder = "the reference holds" if true else "the references hold"
    msg = (
        f"the prediction holds the labels {_shown({0} | predicted)}, {holder} "
        f"{_shown({0} | expected)}: they share none; write both masks with the same values, or "
        "name the labels that belong together (--labels or --label-names)"
    )
    raise LabelError(msg)


def _shown(values: Iterable[int], most: int = 12) -> str:
    ordered = sorted(values)
    dots = ", …" if len(ordered) > most else ""
    return "{" + ", ".join(str(value) for value in ordered[:most]) + dots + "}"
