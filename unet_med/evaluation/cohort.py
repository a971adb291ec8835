"""Score every case of a cohort, and name the ones that could not be scored."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med.errors import LabelError
from unet_med.evaluation.columns import (
    Row,
    case_columns,
    case_rows,
    failed_rows,
    slice_columns,
    slice_rows,
)
from unet_med.evaluation.pairing import pair_cases
from unet_med.evaluation.parallel import evaluate_pairs
from unet_med.evaluation.records import (
    CaseScores,
    CaseStatus,
    EvaluationSettings,
    ExtraPrediction,
    FailedCase,
)
from unet_med.evaluation.settings import LabelKey, MetricSettings
from unet_med.evaluation.summary import summarize
from unet_med.evaluation.tables import (
    CASES_FILE,
    SLICES_FILE,
    SUMMARY_FILE,
    make_folder,
    write_summary,
    write_table,
)
from unet_med.evaluation.vocabulary import check_vocabulary, label_sets
from unet_med.metrics import EmptyPolicy

if TYPE_CHECKING:
    from os import PathLike

Progress = Callable[[int, int, str], None]
"""Called with cases done, cases in all and the id of the case just done."""


@dataclass(frozen=True, slots=True, eq=False)
class CohortScores:
    """The scores of all cases, each with the same labels.

    Attributes:
        scored: Cases with counts, missing predictions included, by case id.
        failed: Cases that could not be compared, by case id.
        extra: Predictions without a reference.
        labels: Label values, ascending or as the settings give them, then regions.
        label_names: Names by value, of regions by key.
        settings: What decided the tables.
        command: The command line that asked for them, for the summary.
    """

    scored: tuple[CaseScores, ...]
    failed: tuple[FailedCase, ...]
    extra: tuple[ExtraPrediction, ...]
    labels: tuple[LabelKey, ...]
    label_names: Mapping[LabelKey, str]
    settings: EvaluationSettings
    command: str | None = None

    @property
    def slices(self) -> list[Row]:
        """The rows of slices.csv: one per case, label and slice."""
        return list(self._slice_rows())

    @property
    def cases(self) -> list[Row]:
        """The rows of cases.csv: one per case and label, failed cases included."""
        settings, names = self.settings, self.label_names
        rows = [row for case in self.scored for row in case_rows(case, names, settings=settings)]
        for case in self.failed:
            rows += failed_rows(case, self.labels, names=names, settings=settings)
        return sorted(rows, key=lambda row: str(row["case"]))

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json."""
        return summarize(self)

    @property
    def foreign(self) -> dict[str, tuple[int, ...]]:
        """Label values of predictions that no reference holds and nobody named, by case.

        They are scored like any other label. Empty when the labels to score were chosen.
        """
        if self.settings.labels is not None:
            return {}
        known = set(self.settings.label_names)
        for case in self.scored:
            known |= case.reference_values | set(case.label_names)
        for region in self.settings.metrics.regions:
            known |= set(region.values)
        found = {
            case.case: tuple(sorted((case.prediction_values or frozenset()) - known))
            for case in self.scored
        }
        return {case: values for case, values in found.items() if values}

    @property
    def exit_code(self) -> int:
        """0 when every reference was scored against a prediction, else 1.

        It is 1 too when label names were given and a prediction holds labels outside of them.
        """
        missing = any(case.status is CaseStatus.MISSING for case in self.scored)
        outside = bool(self.settings.label_names and self.foreign)
        return 1 if missing or self.failed or outside else 0

    def worst_slices(self, count: int) -> list[Row]:
        """Return the slices with the lowest Dice; of equal ones, those with more wrong voxels."""
        scored = (row for row in self._slice_rows() if row["dice"] is not None)
        return heapq.nsmallest(count, scored, key=lambda row: (row["dice"], -row["fp"] - row["fn"]))

    def write(self, output: Path) -> None:
        """Write slices.csv, cases.csv and summary.json into a folder.

        Raises:
            OutputError: A file cannot be written.
        """
        columns = slice_columns(self.settings.metrics)
        write_table(output / SLICES_FILE, columns, rows=self._slice_rows())
        write_table(output / CASES_FILE, case_columns(self.settings), rows=self.cases)
        write_summary(output / SUMMARY_FILE, self.summary)

    def _slice_rows(self) -> Iterator[Row]:
        for case in self.scored:
            yield from slice_rows(case, self.label_names)


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
    progress: Progress | None = None,
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
        metrics: What is measured beside the counts; shapes by default.
        jobs: Processes that score cases side by side.
        command: Command line to name in the summary.
        progress: Called after each case.

    Returns:
        All scores.

    Raises:
        InputError: A path does not exist, holds no mask, or nothing fits together.
        OutputError: A table cannot be written.
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


def assemble_cohort(
    cases: Iterable[CaseScores],
    *,
    failed: Iterable[FailedCase] = (),
    extra: Iterable[ExtraPrediction] = (),
    settings: EvaluationSettings,
) -> CohortScores:
    """Put cases together: check their label values against each other, give all the same labels.

    Args:
        cases: Counts per case, of every label that the masks hold.
        failed: Cases that failed before.
        extra: Predictions without a reference.
        settings: What decides the tables.
    """
    counted = list(cases)
    known = label_sets(
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
            check_vocabulary(case, known)
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
