"""Two sets of predictions against the same references: which one is better, and where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.evaluation.aggregate import bootstrap_interval
from unet_med.evaluation.columns import Row, plain
from unet_med.evaluation.measures import Better, Measure, case_measures
from unet_med.evaluation.paired import signed_rank
from unet_med.evaluation.tables import write_table
from unet_med.metrics import dice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from unet_med.evaluation.cohort import CohortScores
    from unet_med.evaluation.records import CaseScores
    from unet_med.evaluation.settings import LabelKey

COMPARISON_FILE = "comparison.csv"
COMPARISON_SLICES_FILE = "comparison_slices.csv"

COMPARED = ("volume_dice", "hd95_mm")
"""Measures whose differences are tested."""

_SLICE_COLUMNS = (
    "case", "label", "label_name", "slice", "position_mm", "dice", "dice_against", "difference",
    "change",
)  # fmt: skip

COMPARISON_CONVENTIONS = {
    "difference": "this prediction minus the one it is compared against",
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


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """One cohort compared with another of the same references.

    Attributes:
        here: Scores of the predictions.
        against: Scores of the predictions they are compared with; the same labels and settings.
    """

    here: CohortScores
    against: CohortScores

    @classmethod
    def of(cls, here: CohortScores, against: CohortScores) -> Comparison:
        """Compare two cohorts; each gets the labels of both."""
        labels = dict.fromkeys([*here.labels, *against.labels])
        ordered = sorted(labels, key=lambda label: (isinstance(label, str), label))
        if here.settings.labels is not None:
            ordered = list(labels)
        return cls(_with_labels(here, ordered), _with_labels(against, ordered))

    @property
    def pairs(self) -> list[tuple[CaseScores, CaseScores]]:
        """Cases scored in both, by case id."""
        others = {case.case: case for case in self.against.scored}
        return [(case, others[case.case]) for case in self.here.scored if case.case in others]

    @property
    def labels(self) -> tuple[LabelKey, ...]:
        """Labels of both."""
        return self.here.labels

    @property
    def rows(self) -> list[Row]:
        """The rows of comparison.csv: one per case and label."""
        tables = {measure.name: self._values(measure) for measure in self._measures()}
        changes = [_slice_changes(*pair) for pair in self.pairs]
        rows = []
        for index, (case, _) in enumerate(self.pairs):
            for column, label in enumerate(self.labels):
                row: Row = {
                    "case": case.case,
                    "label": label,
                    "label_name": self.here.label_names.get(label, ""),
                }
                for measure in self._measures():
                    one, other = tables[measure.name][:, index, column]
                    row |= {
                        measure.name: plain(one),
                        f"{measure.name}_against": plain(other),
                        f"{measure.name}_difference": plain(_difference(one, other)),
                        f"{measure.name}_change": _change(measure, one, other=other),
                    }
                for name, count in zip(("better", "worse", "equal"), (1, -1, 0), strict=True):
                    row[f"slices_{name}"] = int((changes[index][:, column] == count).sum())
                rows.append(row)
        return rows

    @property
    def slice_rows(self) -> Iterator[Row]:
        """The rows of comparison_slices.csv: slices whose Dice changed."""
        for case, other in self.pairs:
            changes = _slice_changes(case, other)
            scores = _slice_dice(case), _slice_dice(other)
            for index, column in np.argwhere(np.nan_to_num(changes) != 0).tolist():
                one, before = scores[0][index, column], scores[1][index, column]
                label = self.labels[column]
                yield {
                    "case": case.case,
                    "label": label,
                    "label_name": self.here.label_names.get(label, ""),
                    "slice": index,
                    "position_mm": round(float(case.positions_mm[index]), 6),
                    "dice": plain(one),
                    "dice_against": plain(before),
                    "difference": plain(one - before),
                    "change": "better" if changes[index, column] > 0 else "worse",
                }

    @property
    def exit_code(self) -> int:
        """0 when every reference was scored against both predictions, else 1."""
        return max(self.here.exit_code, self.against.exit_code)

    @property
    def summary(self) -> dict[str, Any]:
        """The ``comparison`` block of summary.json."""
        paired = {case.case for case, _ in self.pairs}
        known: set[str] = set()
        for cohort in (self.here, self.against):
            known |= {case.case for case in cohort.scored} | {one.case for one in cohort.failed}
        return {
            "conventions": COMPARISON_CONVENTIONS,
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
        for measure in self._measures():
            endings = ("", "_against", "_difference", "_change")
            columns += [measure.name + ending for ending in endings]
        columns += ["slices_better", "slices_worse", "slices_equal"]
        write_table(output / COMPARISON_FILE, columns, rows=self.rows)
        write_table(output / COMPARISON_SLICES_FILE, _SLICE_COLUMNS, rows=self.slice_rows)

    def _measures(self) -> list[Measure]:
        return [m for m in case_measures(self.here.settings.metrics) if m.name in COMPARED]

    def _values(self, measure: Measure) -> np.ndarray[Any, Any]:
        """Return values of both, shape (2, n_pairs, n_labels)."""
        empty = self.here.settings.empty
        values = [[measure.of(case, empty) for case in pair] for pair in self.pairs]
        shape = (len(values), 2, len(self.labels))
        return np.array(values, dtype=np.float64).reshape(shape).swapaxes(0, 1)

    def _label_summary(self, label: LabelKey, column: int) -> dict[str, Any]:
        changes = [_slice_changes(*pair)[:, column] for pair in self.pairs]
        every = np.concatenate(changes) if changes else np.zeros(0)
        return {
            "label": label,
            "name": self.here.label_names.get(label, ""),
            **{
                measure.name: _paired_statistics(measure, self._values(measure)[:, :, column])
                for measure in self._measures()
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


def _paired_statistics(measure: Measure, values: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return the statistics of the differences of one label, from values (2, n_pairs)."""
    every = [_difference(one, other) for one, other in values.T]
    differences = np.array([one for one in every if not np.isnan(one)])
    changes = [_change(measure, one, other=other) for one, other in values.T]
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
        "wilcoxon": signed_rank(differences),
        **{name: changes.count(name) for name in ("better", "worse", "equal")},
    }


def _difference(one: float, other: float) -> np.float64:
    return np.float64(0.0 if one == other else one - other)  # inf - inf is no difference


def _change(measure: Measure, one: float, *, other: float) -> str | None:
    if np.isnan(one) or np.isnan(other):
        return _change_of_empty(one, other)
    if one == other:
        return "equal"
    return "better" if (one > other) == (measure.better is Better.HIGHER) else "worse"


def _change_of_empty(one: float, other: float) -> str | None:
    """No score means that reference and prediction are empty: nothing beats that."""
    if np.isnan(one) and np.isnan(other):
        return None
    return "better" if np.isnan(one) else "worse"


def _slice_dice(case: CaseScores) -> np.ndarray[Any, Any]:
    return dice(case.counts.tp, case.counts.fp, fn=case.counts.fn)


def _slice_changes(case: CaseScores, other: CaseScores) -> np.ndarray[Any, Any]:
    """Return 1 (better), -1 or 0 per slice and label; NaN where neither has a score."""
    one, before = _slice_dice(case), _slice_dice(other)
    changes = np.sign(np.nan_to_num(one, nan=2.0) - np.nan_to_num(before, nan=2.0))
    return np.where(np.isnan(one) & np.isnan(before), np.nan, changes)
