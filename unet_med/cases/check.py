"""Check a data set: read every case once and list its issues."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from unet_med.cases.issues import Issue, duplicates, find_issues
from unet_med.cases.stats import CaseStats, analyze_case

if TYPE_CHECKING:
    from unet_med._progress import CaseProgress
    from unet_med.cases.case import LabeledCase, LabeledCaseList
    from unet_med.preprocessing import IntensityStatistics

_MAX_JOBS = 8


@dataclass(frozen=True, slots=True)
class CheckedCases:
    """A data set after one pass over its files.

    Attributes:
        found: The cases; those with the same scan are of one patient.
        case_stats: What was found in each, same order, without ``foreground``.
        foreground: Intensities inside all labels, per channel, over all cases.
        issues: What is wrong or worth knowing, errors first.

    Example:
        >>> from unet_med.cases import LabeledCaseList
        >>> checked = CheckedCases(LabeledCaseList((), "one file per case", ""), (), (), ())
        >>> checked.label_values(), checked.errors
        ([], ())
    """

    found: LabeledCaseList
    case_stats: tuple[CaseStats, ...]
    foreground: tuple[IntensityStatistics, ...]
    issues: tuple[Issue, ...]

    @property
    def errors(self) -> tuple[Issue, ...]:
        """The issues that forbid training."""
        return tuple(issue for issue in self.issues if issue.severity == "error")

    @property
    def usable(self) -> tuple[tuple[LabeledCase, CaseStats], ...]:
        """Cases that could be read, with what was found."""
        pairs = zip(self.found.cases, self.case_stats, strict=True)
        return tuple((case, stats) for case, stats in pairs if stats.problem is None)

    def without_bad(self) -> CheckedCases:
        """Leave out every case that an error concerns; what it said is kept as a warning."""
        bad = {name for issue in self.errors for name in issue.cases}
        kept = [
            (case, stats)
            for case, stats in zip(self.found.cases, self.case_stats, strict=True)
            if case.id not in bad
        ]
        issues = tuple(map(_as_left_out, self.issues))
        if not any(issue.severity == "error" for issue in issues):
            issues = (*self._nothing_left([stats for _, stats in kept]), *issues)
        found = replace(self.found, cases=tuple(case for case, _ in kept), unpaired=())
        return replace(self, found=found, case_stats=tuple(s for _, s in kept), issues=issues)

    def _nothing_left(self, kept: list[CaseStats]) -> tuple[Issue, ...]:
        """Say that the cases that are left, or their labels, are none."""
        if not kept:
            return (Issue("error", "no_cases", "every case has an error: nothing is left"),)
        if any(stats.labels.keys() - {self.found.info.ignore} for stats in kept):
            return ()
        text = "no case without an error has a label: nothing is left to learn"
        return (Issue("error", "no_foreground", text),)

    def label_values(self) -> list[int]:
        """Return the values that occur anywhere, ascending, without 0 and the ignored one."""
        values = {value for stats in self.case_stats for value in stats.labels}
        return sorted(values - {self.found.info.ignore})

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready content: the rules, the cases, the labels and the issues."""
        found = self.found
        return {
            "rule": found.rule,
            "patients": found.patients,
            "cases": [
                _case_dict(case, stats)
                for case, stats in zip(found.cases, self.case_stats, strict=True)
            ],
            "labels": {str(value): facts for value, facts in self.label_table().items()},
            "unpaired": [
                {"id": u.id, "role": u.role, "why": u.why, "suggestions": list(u.suggestions)}
                for u in found.unpaired
            ],
            "issues": [
                {"severity": f.severity, "kind": f.kind, "text": f.text, "cases": list(f.cases)}
                for f in self.issues
            ],
        }

    def label_table(self) -> dict[int, dict[str, Any]]:
        """Return per label value its name, the cases that hold it, voxels and volumes in ml."""
        table: dict[int, dict[str, Any]] = {}
        for value in sorted({value for stats in self.case_stats for value in stats.labels}):
            holders = [stats.labels[value] for stats in self.case_stats if value in stats.labels]
            volumes = [label.volume_ml for label in holders]
            table[value] = {
                "name": self.found.info.labels.get(value, ""),
                "ignored": value == self.found.info.ignore,
                "n_cases": len(holders),
                "n_voxels": sum(label.n_voxels for label in holders),
                "volume_ml": [min(volumes), max(volumes)],
            }
        return table


def check_cases(
    found: LabeledCaseList, *, jobs: int | None = None, progress: CaseProgress | None = None
) -> CheckedCases:
    """Read every file of a data set once and look for faults.

    Args:
        found: The data set.
        jobs: Cases read at a time; None = one per processor, at most 8.
        progress: Called with the number done, the number of all and the case's id.

    Example:
        >>> from unet_med.cases import LabeledCaseList
        >>> [issue.kind for issue in check_cases(LabeledCaseList((), "no file", "")).errors]
        ['no_cases']
    """
    workers = jobs or min(_MAX_JOBS, _processors())
    case_stats: list[CaseStats] = []
    foreground: list[IntensityStatistics] = []
    ignore = found.info.ignore
    with ThreadPoolExecutor(workers) as pool:
        try:
            for stats in pool.map(lambda case: analyze_case(case, ignore=ignore), found.cases):
                _join(foreground, stats)
                case_stats.append(replace(stats, foreground=()))
                if progress is not None:
                    progress(len(case_stats), len(found.cases), stats.id)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    joined = _joined_patients(found, case_stats)
    issues = find_issues(found, case_stats, joined=joined.cases)
    return CheckedCases(joined, tuple(case_stats), tuple(foreground), issues)


def _processors() -> int:
    """Return how many processors this process may use; Linux alone can tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _as_left_out(issue: Issue) -> Issue:
    """Turn an error that concerns cases into a warning that they are left out."""
    if issue.severity != "error" or not issue.cases:
        return issue
    return replace(issue, severity="warning", text=f"left out: {issue.text}")


def _join(foreground: list[IntensityStatistics], stats: CaseStats) -> None:
    """Add a case's intensities, in the order of the cases, so that sums do not depend on luck.

    Those of a scan without any contrast are an error, and would bend what is planned without it.
    """
    if any(channel.minimum == channel.maximum for channel in stats.channels):
        return
    for number, statistics in enumerate(stats.foreground):
        if number == len(foreground):
            foreground.append(statistics)
        else:
            foreground[number].join(statistics)


def _joined_patients(found: LabeledCaseList, case_stats: list[CaseStats]) -> LabeledCaseList:
    """Take cases with the same scan as one patient, together with all other cases of theirs."""
    patients = {case.id: case.patient for case in found.cases}
    for same in duplicates(case_stats):
        merged = {patients[name] for name in same}
        first = patients[same[0]]
        patients = {k: first if p in merged else p for k, p in patients.items()}
    cases = tuple(replace(case, patient=patients[case.id]) for case in found.cases)
    return replace(found, cases=cases)


def _case_dict(case: LabeledCase, stats: CaseStats) -> dict[str, Any]:
    return {
        "id": case.id,
        "patient": case.patient,
        "images": [str(path) for path in case.images],
        "label": str(case.label),
        "fold": case.fold,
        "held_out": case.held_out,
        "problem": stats.problem,
        "shape": list(stats.shape),
        "spacing_mm": list(stats.spacing_mm),
        "channels": [
            {
                "minimum": channel.minimum,
                "maximum": channel.maximum,
                "mean": channel.mean,
                "std": channel.std,
                "percentiles": {"1": channel.low, "50": channel.median, "99": channel.high},
                "zero_share": channel.zero_share,
                "n_nonfinite": channel.n_nonfinite,
                "dtype": channel.dtype,
            }
            for channel in stats.channels
        ],
        "labels": {str(value): label.n_voxels for value, label in stats.labels.items()},
        "image_sha256": stats.image_digest,
    }
