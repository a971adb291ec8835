"""A data set, read once and checked."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from unet_med.dataset.findings import Finding, duplicates, find_faults
from unet_med.dataset.survey import CaseSurvey, survey_case

if TYPE_CHECKING:
    from collections.abc import Callable

    from unet_med.dataset.case import FoundCases, LabeledCase
    from unet_med.preprocessing import IntensityStatistics

    Progress = Callable[[int, int, str], None]

_MOST_JOBS = 8


@dataclass(frozen=True, slots=True)
class CheckedCases:
    """A data set after one pass over its files.

    Attributes:
        found: The cases; those with the same scan are of one patient.
        surveys: What was found in each, same order, without ``foreground``.
        foreground: Intensities inside all labels, per channel, over all cases.
        findings: What is wrong or worth knowing, errors first.
    """

    found: FoundCases
    surveys: tuple[CaseSurvey, ...]
    foreground: tuple[IntensityStatistics, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid training."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def usable(self) -> tuple[tuple[LabeledCase, CaseSurvey], ...]:
        """Cases that could be read, with what was found."""
        pairs = zip(self.found.cases, self.surveys, strict=True)
        return tuple((case, survey) for case, survey in pairs if survey.problem is None)

    def without_bad(self) -> CheckedCases:
        """Leave out every case that an error concerns; what it said is kept as a warning."""
        bad = {name for finding in self.errors for name in finding.cases}
        kept = [
            (case, survey)
            for case, survey in zip(self.found.cases, self.surveys, strict=True)
            if case.id not in bad
        ]
        findings = tuple(map(_as_left_out, self.findings))
        if not any(finding.severity == "error" for finding in findings):
            findings = (*self._nothing_left([survey for _, survey in kept]), *findings)
        found = replace(self.found, cases=tuple(case for case, _ in kept), unpaired=())
        return replace(self, found=found, surveys=tuple(s for _, s in kept), findings=findings)

    def _nothing_left(self, kept: list[CaseSurvey]) -> tuple[Finding, ...]:
        """Say that the cases that are left, or their labels, are none."""
        if not kept:
            return (Finding("error", "no_cases", "every case has an error: nothing is left"),)
        if any(survey.labels.keys() - {self.found.naming.ignore} for survey in kept):
            return ()
        text = "no case without an error has a label: nothing is left to learn"
        return (Finding("error", "no_foreground", text),)

    def label_values(self) -> list[int]:
        """Return the values that occur anywhere, ascending, without 0 and the ignored one."""
        values = {value for survey in self.surveys for value in survey.labels}
        return sorted(values - {self.found.naming.ignore})


def check_cases(
    found: FoundCases, *, jobs: int | None = None, progress: Progress | None = None
) -> CheckedCases:
    """Read every file of a data set once and look for faults.

    Args:
        found: The data set.
        jobs: Cases read at a time; None = one per processor, at most 8.
        progress: Called with the number done, the number of all and the case's id.
    """
    workers = jobs or min(_MOST_JOBS, _processors())
    surveys: list[CaseSurvey] = []
    foreground: list[IntensityStatistics] = []
    ignore = found.naming.ignore
    with ThreadPoolExecutor(workers) as pool:
        try:
            for survey in pool.map(lambda case: survey_case(case, ignore=ignore), found.cases):
                _join(foreground, survey)
                surveys.append(replace(survey, foreground=()))
                if progress is not None:
                    progress(len(surveys), len(found.cases), survey.id)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    joined = _joined_patients(found, surveys)
    findings = find_faults(found, surveys, joined=joined.cases)
    return CheckedCases(joined, tuple(surveys), tuple(foreground), findings)


def _processors() -> int:
    """Return how many processors this process may use; Linux alone can tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _as_left_out(finding: Finding) -> Finding:
    """Turn an error that concerns cases into a warning that they are left out."""
    if finding.severity != "error" or not finding.cases:
        return finding
    return replace(finding, severity="warning", text=f"left out: {finding.text}")


def _join(foreground: list[IntensityStatistics], survey: CaseSurvey) -> None:
    """Add a case's intensities, in the order of the cases, so that sums do not depend on luck.

    Those of a scan without any contrast are an error, and would bend what is planned without it.
    """
    if any(channel.minimum == channel.maximum for channel in survey.channels):
        return
    for number, statistics in enumerate(survey.foreground):
        if number == len(foreground):
            foreground.append(statistics)
        else:
            foreground[number].join(statistics)


def _joined_patients(found: FoundCases, surveys: list[CaseSurvey]) -> FoundCases:
    """Take cases with the same scan as one patient, together with all other cases of theirs."""
    patients = {case.id: case.patient for case in found.cases}
    for same in duplicates(surveys):
        merged = {patients[name] for name in same}
        first = patients[same[0]]
        patients = {k: first if p in merged else p for k, p in patients.items()}
    cases = tuple(replace(case, patient=patients[case.id]) for case in found.cases)
    return replace(found, cases=cases)


def as_dict(checked: CheckedCases) -> dict[str, Any]:
    """Return JSON-ready content: the rules, the cases, the labels and the findings."""
    found = checked.found
    return {
        "rule": found.rule,
        "patients": found.patients,
        "cases": [
            _case_dict(case, survey)
            for case, survey in zip(found.cases, checked.surveys, strict=True)
        ],
        "labels": {str(value): facts for value, facts in label_table(checked).items()},
        "unpaired": [
            {"id": u.id, "role": u.role, "why": u.why, "near": list(u.near)} for u in found.unpaired
        ],
        "findings": [
            {"severity": f.severity, "kind": f.kind, "text": f.text, "cases": list(f.cases)}
            for f in checked.findings
        ],
    }


def label_table(checked: CheckedCases) -> dict[int, dict[str, Any]]:
    """Return per label value its name, the cases that hold it, voxels and volumes in ml."""
    table: dict[int, dict[str, Any]] = {}
    for value in sorted({value for survey in checked.surveys for value in survey.labels}):
        holders = [survey.labels[value] for survey in checked.surveys if value in survey.labels]
        volumes = [label.volume_ml for label in holders]
        table[value] = {
            "name": checked.found.naming.labels.get(value, ""),
            "ignored": value == checked.found.naming.ignore,
            "n_cases": len(holders),
            "n_voxels": sum(label.n_voxels for label in holders),
            "volume_ml": [min(volumes), max(volumes)],
        }
    return table


def _case_dict(case: LabeledCase, survey: CaseSurvey) -> dict[str, Any]:
    return {
        "id": case.id,
        "patient": case.patient,
        "images": [str(path) for path in case.images],
        "label": str(case.label),
        "fold": case.fold,
        "held_out": case.held_out,
        "problem": survey.problem,
        "shape": list(survey.shape),
        "spacing_mm": list(survey.spacing_mm),
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
            for channel in survey.channels
        ],
        "labels": {str(value): label.n_voxels for value, label in survey.labels.items()},
        "image_sha256": survey.image_digest,
    }
