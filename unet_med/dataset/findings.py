"""What is wrong with a data set, or worth knowing, found from its survey."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from unet_med.dataset.case import FoundCases, LabeledCase
    from unet_med.dataset.survey import CaseSurvey

Severity = Literal["error", "warning", "note"]

NOBODY_LABELED = 255
"""Value that many tools use for voxels nobody labeled."""

FAR_FROM_MEDIAN = 3.0
"""A spacing or volume this many times off the median is named."""

_FEW_VOXELS = 10
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found.

    Attributes:
        severity: ``error`` forbids training; ``warning`` wants a look; ``note`` informs.
        kind: Short fixed name, for programs.
        text: One line: what, where, what to do.
        cases: The cases it concerns.
    """

    severity: Severity
    kind: str
    text: str
    cases: tuple[str, ...] = ()


def find_faults(
    found: FoundCases, surveys: Sequence[CaseSurvey], *, joined: Sequence[LabeledCase]
) -> tuple[Finding, ...]:
    """Return everything that is wrong or worth knowing, errors first.

    Args:
        found: The data set as found.
        surveys: One per case, in the same order.
        joined: The same cases, those with the same scan as one patient: they must not be parted
            over folds either.
    """
    readable = [survey for survey in surveys if survey.problem is None]
    every = [
        *_pairing(found),
        *_unusable(surveys),
        *_channels(found, readable),
        *_intensities(found, readable),
        *_label_values(found, readable),
        *_empty(readable, found.naming.ignore),
        *_duplicates(found.cases, readable),
        *_folds(joined),
        *_outliers(readable),
        *_reader_warnings(readable),
    ]  # fmt: skip
    order = {"error": 0, "warning": 1, "note": 2}
    return tuple(sorted(every, key=lambda finding: order[finding.severity]))


def _pairing(found: FoundCases) -> Iterator[Finding]:
    for lonely in found.unpaired:
        near = f"; did you mean {' or '.join(lonely.near)}?" if lonely.near else ""
        what = "scan" if lonely.role == "image" else "label map"
        text = f"{what} {lonely.id} {lonely.why}{near}"
        yield Finding("error", "unpaired", text, (lonely.id,))
    if not found.cases:
        yield Finding("error", "no_cases", "no scan has a label map: there is nothing to train on")


def _unusable(surveys: Sequence[CaseSurvey]) -> Iterator[Finding]:
    for survey in surveys:
        if survey.problem is not None:
            yield Finding("error", "unusable", f"{survey.id}: {survey.problem}", (survey.id,))


def _channels(found: FoundCases, surveys: Sequence[CaseSurvey]) -> Iterator[Finding]:
    counts = Counter(len(survey.channels) for survey in surveys)
    if not counts:
        return
    usual = counts.most_common(1)[0][0]
    for survey in surveys:
        if len(survey.channels) != usual:
            has = "1 channel" if len(survey.channels) == 1 else f"{len(survey.channels)} channels"
            text = f"{survey.id}: has {has}, most cases have {usual}"
            yield Finding("error", "channels", text, (survey.id,))
    named = len(found.naming.channels)
    if named and named != usual:
        text = (
            f"{named} channels are named ({', '.join(found.naming.channels)}), files hold {usual}"
        )
        yield Finding("error", "channels", text)


def _intensities(found: FoundCases, surveys: Sequence[CaseSurvey]) -> Iterator[Finding]:
    for survey in surveys:
        for number, channel in enumerate(survey.channels):
            names = found.naming.channels
            named = number < len(names) and len(survey.channels) > 1
            where = f"{survey.id}, {names[number]}" if named else survey.id
            if channel.n_nonfinite:
                text = (
                    f"{where}: {channel.n_nonfinite} voxels are NaN or infinite; they are taken "
                    "as the smallest value"
                )
                yield Finding("warning", "nonfinite", text, (survey.id,))
            if channel.minimum == channel.maximum:
                text = f"{where}: all voxels are {channel.minimum:g}; there is nothing to see"
                yield Finding("error", "constant", text, (survey.id,))


def _label_values(found: FoundCases, surveys: Sequence[CaseSurvey]) -> Iterator[Finding]:
    holders: dict[int, list[str]] = defaultdict(list)
    for survey in surveys:
        for value in survey.labels:
            holders[value].append(survey.id)
    naming = found.naming
    known = set(naming.labels) | {v for values in naming.regions.values() for v in values}
    ignored = {naming.ignore} - {None}
    values = set(holders) - ignored
    for value in sorted(values - known if known else ()):
        text = (
            f"label value {value} occurs in {_some(holders[value])} but has no name "
            f"(named are {sorted(known)}); name it, or say --ignore {value}"
        )
        yield Finding("error", "unknown_label", text, tuple(holders[value]))
    for value in sorted(known - set(holders) - {0}):
        text = f"label value {value} is named but occurs nowhere; it is left out"
        yield Finding("warning", "absent_label", text)
    yield from _odd_values(values, holders, n_cases=len(surveys))
    held = {case.id for case in found.cases if case.held_out}
    untaught = [value for value in sorted(values) if held.issuperset(holders[value])]
    if untaught:
        shown = _some([str(value) for value in untaught])
        text = f"label values {shown} occur in cases held out alone: no other case can teach them"
        concerned = tuple(dict.fromkeys(name for value in untaught for name in holders[value]))
        yield Finding("warning", "untaught_label", text, concerned)


def _odd_values(
    values: set[int], holders: dict[int, list[str]], *, n_cases: int
) -> Iterator[Finding]:
    if NOBODY_LABELED in values and len(values) > 1:
        text = (
            f"label value {NOBODY_LABELED} occurs in {_some(holders[NOBODY_LABELED])} beside "
            "others and is taken as a label; if it marks voxels nobody labeled, say --ignore 255"
        )
        yield Finding("warning", "value_255", text, tuple(holders[NOBODY_LABELED]))
    if values and sorted(values) != list(range(1, len(values) + 1)):
        shown = ", ".join(map(str, sorted(values)[:12])) + (", …" if len(values) > 12 else "")  # noqa: PLR2004 - fits a line
        text = f"label values are {shown}, not 1 to {len(values)}; they are kept as they are"
        yield Finding("note", "gaps", text)
    if rare := [value for value in sorted(values) if len(holders[value]) == 1 and n_cases > 1]:
        named = _some([f"{value} ({holders[value][0]})" for value in rare])
        text = f"label values that occur in one case only: {named}; their Dice cannot be estimated"
        yield Finding("warning", "rare_label", text, tuple(holders[value][0] for value in rare))


def _empty(surveys: Sequence[CaseSurvey], ignore: int | None) -> Iterator[Finding]:
    empty = [survey.id for survey in surveys if not survey.labels.keys() - {ignore}]
    if surveys and len(empty) == len(surveys):
        text = "no label map holds anything but 0: there is nothing to learn"
        yield Finding("error", "no_foreground", text, tuple(empty))
    elif empty:
        yield Finding("warning", "empty", f"{_some(empty)} have an empty label map", tuple(empty))
    for survey in surveys:
        few = [v for v, label in survey.labels.items() if label.n_voxels < _FEW_VOXELS]
        if few:
            values = ", ".join(f"{v} ({survey.labels[v].n_voxels})" for v in few[:_SHOWN])
            text = f"{survey.id}: fewer than {_FEW_VOXELS} voxels of label {values}; strays?"
            yield Finding("warning", "stray_voxels", text, (survey.id,))


def _duplicates(cases: Sequence[LabeledCase], surveys: Sequence[CaseSurvey]) -> Iterator[Finding]:
    labels = {survey.id: survey.label_digest for survey in surveys}
    patients = {case.id: case.patient for case in cases}
    for same in duplicates(surveys):
        alike = len({labels[name] for name in same}) == 1
        what = "the same labels" if alike else "different labels"
        other = len({patients[name] for name in same}) > 1
        text = f"{' and '.join(same[:_SHOWN])} hold the same scan with {what}"
        text += "; they are kept together as one patient" if other else ""
        yield Finding("warning" if alike else "error", "duplicate", text, same)


def duplicates(surveys: Iterable[CaseSurvey]) -> list[tuple[str, ...]]:
    """Return the ids of cases whose scans are equal voxel by voxel, group by group."""
    by_digest: dict[str, list[str]] = defaultdict(list)
    for survey in surveys:
        if survey.image_digest:
            by_digest[survey.image_digest].append(survey.id)
    return [tuple(same) for same in by_digest.values() if len(same) > 1]


def _folds(cases: Sequence[LabeledCase]) -> Iterator[Finding]:
    folds: dict[str, set[str]] = defaultdict(set)
    members: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        place = "validation" if case.held_out else "training" if case.fold is None else ""
        folds[case.patient].add(place or f"fold {case.fold}")
        members[case.patient].append(case.id)
    for patient, places in folds.items():
        if len(places) > 1:
            text = (
                f"patient {patient} is in {' and '.join(sorted(places))} "
                f"({_some(members[patient])}): the estimate would flatter; keep them together"
            )
            yield Finding("error", "patient_in_two_folds", text, tuple(members[patient]))


def _outliers(surveys: Sequence[CaseSurvey]) -> Iterator[Finding]:
    sizes = [sorted(survey.spacing_mm) for survey in surveys]
    if not sizes:
        return
    usual = [median(size[n] for size in sizes) for n in range(3)]
    for survey, size in zip(surveys, sizes, strict=True):
        far = [
            n for n in range(3)
            if not 1 / FAR_FROM_MEDIAN <= size[n] / usual[n] <= FAR_FROM_MEDIAN
        ]  # fmt: skip
        if far:
            sizes_mm = f"{_mm(survey.spacing_mm)} mm is far from the usual {_mm(usual)} mm"
            text = f"{survey.id}: spacing {sizes_mm}"
            yield Finding("warning", "spacing", text, (survey.id,))


def _reader_warnings(surveys: Sequence[CaseSurvey]) -> Iterator[Finding]:
    by_text: dict[str, list[str]] = defaultdict(list)
    for survey in surveys:
        for text in survey.warnings:
            by_text[text].append(survey.id)
    for text, ids in by_text.items():
        yield Finding("warning", "geometry", f"{_some(ids)}: {text}", tuple(ids))


def _some(ids: Sequence[str]) -> str:
    """Name a few cases and count the rest."""
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more


def _mm(sizes: Sequence[float]) -> str:
    return " × ".join(f"{size:.3g}" for size in sizes)
