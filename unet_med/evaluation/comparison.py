"""Compare the scores of two sets of predictions, paired by case, label and slice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.evaluation.metric_columns import Better, MetricColumn
from unet_med.evaluation.scores import labels_text
from unet_med.evaluation.statistics import bootstrap_interval, wilcoxon_signed_rank
from unet_med.evaluation.tables import TableRow, python_number, write_table
from unet_med.metrics import dice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from unet_med.evaluation.cohort_scores import CohortScores
    from unet_med.evaluation.scores import CaseScores, LabelKey

COMPARISON_FILE = "comparison.csv"


COMPARISON_SLICES_FILE = "comparison_slices.csv"


COMPARED = ("volume_dice", "hd95_mm")
"""Measures whose differences are tested."""


_SLICE_COLUMNS = (
    "case", "label", "label_name", "slice", "position_mm", "dice", "dice_baseline", "difference",
    "change",
)  # fmt: skip


COMPARISON_NOTES = {
    "difference": "this prediction minus the baseline",
    "pairs": "cases that were scored in both, a missing prediction in either with its 0 and "
    "infinite distances; a case that failed in one is in unpaired",
    "undefined": "a score that is null in one of the pair, rightly empty there, has no difference "
    "and is counted in n_undefined; the empty one counts as the better one",
    "infinite": "both distances infinite: the difference is 0, both missed it; one infinite: the "
    "difference is infinite, counted in n_infinite, and has the largest rank",
    "wilcoxon": "signed-rank test, two-sided, zero differences dropped; null with the reason when "
    "fewer than 6 differ, where no result could be below 0.05. No correction for several labels",
    "slices": "by Dice of the slice; one without the label in any of the three masks is left out, "
    "one that is rightly empty in one prediction only is better there",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Comparison:
    """Compare one cohort with another of the same references.

    Attributes:
        candidate: Scores of the predictions.
        baseline: Scores of the predictions they are compared with; the same labels and settings.

    Example:
        >>> from unet_med.evaluation import EvaluationSettings, assemble_cohort, score_volumes
        >>> from unet_med.volumes import from_array
        >>> mask = from_array(np.eye(6, dtype=np.uint8)[..., None], np.eye(4))
        >>> cohort = assemble_cohort([score_volumes(mask, mask)], settings=EvaluationSettings())
        >>> comparison = Comparison.of(cohort, cohort)
        >>> comparison.rows[0]["volume_dice_difference"], comparison.rows[0]["slices_equal"]
        (0.0, 1)
    """

    candidate: CohortScores
    baseline: CohortScores

    def __repr__(self) -> str:
        n_pairs = len(self.pairs)
        return f"Comparison({n_pairs} pair{'s' * (n_pairs != 1)}; {labels_text(self.labels)})"

    @classmethod
    def of(cls, candidate: CohortScores, baseline: CohortScores) -> Comparison:
        """Compare two cohorts; each gets the labels of both."""
        labels = dict.fromkeys([*candidate.labels, *baseline.labels])
        ordered = sorted(labels, key=lambda label: (isinstance(label, str), label))
        if candidate.settings.labels is not None:
            ordered = list(labels)
        return cls(_with_labels(candidate, ordered), _with_labels(baseline, ordered))

    @property
    def pairs(self) -> list[tuple[CaseScores, CaseScores]]:
        """List the cases scored in both, by case id."""
        others = {case.case: case for case in self.baseline.scored}
        return [(case, others[case.case]) for case in self.candidate.scored if case.case in others]

    @property
    def labels(self) -> tuple[LabelKey, ...]:
        """Return the labels of both."""
        return self.candidate.labels

    @property
    def rows(self) -> list[TableRow]:
        """Return the rows of comparison.csv: one per case and label."""
        tables = {metric.name: self._values(metric) for metric in self._compared_metrics()}
        changes = [_slice_changes(*pair) for pair in self.pairs]
        rows = []
        for index, (case, _) in enumerate(self.pairs):
            for column, label in enumerate(self.labels):
                row: TableRow = {
                    "case": case.case,
                    "label": label,
                    "label_name": self.candidate.label_names.get(label, ""),
                }
                for metric in self._compared_metrics():
                    one, other = tables[metric.name][:, index, column]
                    row |= {
                        metric.name: python_number(one),
                        f"{metric.name}_baseline": python_number(other),
                        f"{metric.name}_difference": python_number(_difference(one, other)),
                        f"{metric.name}_change": _change(metric, one, other=other),
                    }
                for name, count in zip(("better", "worse", "equal"), (1, -1, 0), strict=True):
                    row[f"slices_{name}"] = int((changes[index][:, column] == count).sum())
                rows.append(row)
        return rows

    @property
    def slice_rows(self) -> Iterator[TableRow]:
        """Yield the rows of comparison_slices.csv: slices whose Dice changed."""
        for case, other in self.pairs:
            changes = _slice_changes(case, other)
            scores = _slice_dice(case), _slice_dice(other)
            for index, column in np.argwhere(np.nan_to_num(changes) != 0).tolist():
                one, before = scores[0][index, column], scores[1][index, column]
                label = self.labels[column]
                yield {
                    "case": case.case,
                    "label": label,
                    "label_name": self.candidate.label_names.get(label, ""),
                    "slice": index,
                    "position_mm": round(float(case.positions_mm[index]), 6),
                    "dice": python_number(one),
                    "dice_baseline": python_number(before),
                    "difference": python_number(one - before),
                    "change": "better" if changes[index, column] > 0 else "worse",
                }

    @property
    def exit_code(self) -> int:
        """Return 0 when every reference was scored against both predictions, else 1."""
        return max(self.candidate.exit_code, self.baseline.exit_code)

    @property
    def summary(self) -> dict[str, Any]:
        """Return the ``comparison`` block of summary.json."""
        paired = {case.case for case, _ in self.pairs}
        known: set[str] = set()
        for cohort in (self.candidate, self.baseline):
            known |= {case.case for case in cohort.scored} | {one.case for one in cohort.failed}
        return {
            "metric_notes": COMPARISON_NOTES,
            "n_pairs": len(self.pairs),
            "unpaired": sorted(known - paired),
            "labels": [
                self._label_summary(label, column) for column, label in enumerate(self.labels)
            ],
        }

    def write(self, output: Path) -> None:
        """Write comparison.csv and comparison_slices.csv into a folder.

        Raises:
            OutputError: A file cannot be written.
        """
        columns = ["case", "label", "label_name"]
        for metric in self._compared_metrics():
            endings = ("", "_baseline", "_difference", "_change")
            columns += [metric.name + ending for ending in endings]
        columns += ["slices_better", "slices_worse", "slices_equal"]
        write_table(output / COMPARISON_FILE, columns, rows=self.rows)
        write_table(output / COMPARISON_SLICES_FILE, _SLICE_COLUMNS, rows=self.slice_rows)

    def _compared_metrics(self) -> list[MetricColumn]:
        return [m for m in self.candidate.settings.metric_columns if m.name in COMPARED]

    def _values(self, metric: MetricColumn) -> np.ndarray[Any, Any]:
        """Return values of both, shape (2, n_pairs, n_labels)."""
        empty = self.candidate.settings.empty
        values = [[metric.of(case, empty) for case in pair] for pair in self.pairs]
        shape = (len(values), 2, len(self.labels))
        return np.array(values, dtype=np.float64).reshape(shape).swapaxes(0, 1)

    def _label_summary(self, label: LabelKey, column: int) -> dict[str, Any]:
        changes = [_slice_changes(*pair)[:, column] for pair in self.pairs]
        every = np.concatenate(changes) if changes else np.zeros(0)
        return {
            "label": label,
            "name": self.candidate.label_names.get(label, ""),
            **{
                metric.name: _paired_statistics(metric, self._values(metric)[:, :, column])
                for metric in self._compared_metrics()
            },
            "slices": {
                "better": int((every == 1).sum()),
                "worse": int((every == -1).sum()),
                "equal": int((every == 0).sum()),
            },
        }


def _with_labels(cohort: CohortScores, labels: Sequence[LabelKey]) -> CohortScores:
    scored = tuple(case.with_labels(labels) for case in cohort.scored)
    return replace(cohort, scored=scored, labels=tuple(labels))


def _paired_statistics(metric: MetricColumn, values: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return the statistics of the differences of one label, from values (2, n_pairs)."""
    every = [_difference(one, other) for one, other in values.T]
    differences = np.array([one for one in every if not np.isnan(one)])
    changes = [_change(metric, one, other=other) for one, other in values.T]
    n_infinite = int(np.isinf(differences).sum())
    with np.errstate(invalid="ignore"):  # infinite both ways has no mean
        mean = float(differences.mean()) if len(differences) else None
    mixed = np.isposinf(differences).any() and np.isneginf(differences).any()
    return {
        "n": len(differences),
        "n_undefined": len(every) - len(differences),
        "n_infinite": n_infinite,
        "mean_difference": mean,
        "ci95": None if mixed else bootstrap_interval(differences),
        "wilcoxon": wilcoxon_signed_rank(differences),
        **{name: changes.count(name) for name in ("better", "worse", "equal")},
    }


def _difference(one: float, other: float) -> np.float64:
    return np.float64(0.0 if one == other else one - other)  # inf - inf is no difference


def _change(metric: MetricColumn, one: float, *, other: float) -> str | None:
    if np.isnan(one) or np.isnan(other):
        return _change_of_empty(one, other)
    if one == other:
        return "equal"
    return "better" if (one > other) == (metric.better is Better.HIGHER) else "worse"


def _change_of_empty(one: float, other: float) -> str | None:
    """No score means that reference and prediction are empty: nothing beats that."""
    if np.isnan(one) and np.isnan(other):
        return None
    return "better" if np.isnan(one) else "worse"


def _slice_dice(case: CaseScores) -> np.ndarray[Any, Any]:
    return dice(case.counts.tp, case.counts.fp, case.counts.fn)


def _slice_changes(case: CaseScores, other: CaseScores) -> np.ndarray[Any, Any]:
    """Return 1 (better), -1 or 0 per slice and label; NaN where neither has a score."""
    one, before = _slice_dice(case), _slice_dice(other)
    changes = np.sign(np.nan_to_num(one, nan=2.0) - np.nan_to_num(before, nan=2.0))
    return np.where(np.isnan(one) & np.isnan(before), np.nan, changes)
