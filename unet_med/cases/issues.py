"""Find what is wrong with a data set, or worth knowing, from the statistics of its cases."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from unet_med.cases.case import LabeledCase, LabeledCaseList
    from unet_med.cases.stats import CaseStats

Severity = Literal["error", "warning", "note"]

USUAL_IGNORE = 255
"""Value that many tools use for voxels nobody labeled."""

OUTLIER_RATIO = 3.0
"""A spacing or volume this many times off the median is named."""

_FEW_VOXELS = 10
_SHOWN = 5
_MAX_VALUES_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue of a data set.

    Attributes:
        severity: ``error`` forbids training; ``warning`` wants a look; ``note`` informs.
        kind: Short fixed name, for programs.
        text: One line: what, where, what to do.
        cases: The cases it concerns.

    Example:
        >>> Issue("warning", "spacing", "p1: spacing 9 mm is far from the usual 1 mm", ("p1",)).kind
        'spacing'
    """

    severity: Severity
    kind: str
    text: str
    cases: tuple[str, ...] = ()


def find_issues(
    found: LabeledCaseList, case_stats: Sequence[CaseStats], *, joined: Sequence[LabeledCase]
) -> tuple[Issue, ...]:
    """Return everything that is wrong or worth knowing, errors first.

    Args:
        found: The data set as found.
        case_stats: One per case, in the same order.
        joined: The same cases, those with the same scan as one patient: they must not be parted
            over folds either.
    """
    readable = [stats for stats in case_stats if stats.problem is None]
    every = [
        *_pairing(found),
        *_unusable(case_stats),
        *_channels(found, readable),
        *_intensities(found, readable),
        *_label_values(found, readable),
        *_empty(readable, found.info.ignore),
        *_duplicates(found.cases, readable),
        *_folds(joined),
        *_outliers(readable),
        *_reader_warnings(readable),
    ]  # fmt: skip
    order = {"error": 0, "warning": 1, "note": 2}
    return tuple(sorted(every, key=lambda issue: order[issue.severity]))


def _pairing(found: LabeledCaseList) -> Iterator[Issue]:
    for lonely in found.unpaired:
        suggestions = (
            f"; did you mean {' or '.join(lonely.suggestions)}?" if lonely.suggestions else ""
        )
        what = "scan" if lonely.role == "image" else "label map"
        text = f"{what} {lonely.id} {lonely.why}{suggestions}"
        yield Issue("error", "unpaired", text, (lonely.id,))
    if not found.cases:
        yield Issue("error", "no_cases", "no scan has a label map: there is nothing to train on")


def _unusable(case_stats: Sequence[CaseStats]) -> Iterator[Issue]:
    for stats in case_stats:
        if stats.problem is not None:
            yield Issue("error", "unusable", f"{stats.id}: {stats.problem}", (stats.id,))


def _channels(found: LabeledCaseList, case_stats: Sequence[CaseStats]) -> Iterator[Issue]:
    counts = Counter(len(stats.channels) for stats in case_stats)
    if not counts:
        return
    usual = counts.most_common(1)[0][0]
    for stats in case_stats:
        if len(stats.channels) != usual:
            has = "1 channel" if len(stats.channels) == 1 else f"{len(stats.channels)} channels"
            text = f"{stats.id}: has {has}, most cases have {usual}"
            yield Issue("error", "channels", text, (stats.id,))
    named = len(found.info.channels)
    if named and named != usual:
        text = f"{named} channels are named ({', '.join(found.info.channels)}), files hold {usual}"
        yield Issue("error", "channels", text)


def _intensities(found: LabeledCaseList, case_stats: Sequence[CaseStats]) -> Iterator[Issue]:
    for stats in case_stats:
        for number, channel in enumerate(stats.channels):
            names = found.info.channels
            named = number < len(names) and len(stats.channels) > 1
            where = f"{stats.id}, {names[number]}" if named else stats.id
            if channel.n_nonfinite:
                text = (
                    f"{where}: {channel.n_nonfinite} voxels are NaN or infinite; they are taken "
                    "as the smallest value"
                )
                yield Issue("warning", "nonfinite", text, (stats.id,))
            if channel.minimum == channel.maximum:
                text = f"{where}: all voxels are {channel.minimum:g}; there is nothing to see"
                yield Issue("error", "constant", text, (stats.id,))


def _label_values(found: LabeledCaseList, case_stats: Sequence[CaseStats]) -> Iterator[Issue]:
    holders: dict[int, list[str]] = defaultdict(list)
    for stats in case_stats:
        for value in stats.labels:
            holders[value].append(stats.id)
    info = found.info
    known = set(info.labels) | {v for values in info.regions.values() for v in values}
    ignored = {info.ignore} - {None}
    values = set(holders) - ignored
    for value in sorted(values - known if known else ()):
        text = (
            f"label value {value} occurs in {_some(holders[value])} but has no name "
            f"(named are {sorted(known)}); name it, or say --ignore {value}"
        )
        yield Issue("error", "unknown_label", text, tuple(holders[value]))
    for value in sorted(known - set(holders) - {0}):
        text = f"label value {value} is named but occurs nowhere; it is left out"
        yield Issue("warning", "absent_label", text)
    yield from _odd_values(values, holders, n_cases=len(case_stats))
    held = {case.id for case in found.cases if case.held_out}
    untaught = [value for value in sorted(values) if held.issuperset(holders[value])]
    if untaught:
        shown = _some([str(value) for value in untaught])
        text = f"label values {shown} occur in cases held out alone: no other case can teach them"
        concerned = tuple(dict.fromkeys(name for value in untaught for name in holders[value]))
        yield Issue("warning", "untaught_label", text, concerned)


def _odd_values(
    values: set[int], holders: dict[int, list[str]], *, n_cases: int
) -> Iterator[Issue]:
    if USUAL_IGNORE in values and len(values) > 1:
        text = (
            f"label value {USUAL_IGNORE} occurs in {_some(holders[USUAL_IGNORE])} beside "
            "others and is taken as a label; if it marks voxels nobody labeled, say --ignore 255"
        )
        yield Issue("warning", "value_255", text, tuple(holders[USUAL_IGNORE]))
    if values and sorted(values) != list(range(1, len(values) + 1)):
        shown = ", ".join(map(str, sorted(values)[:_MAX_VALUES_SHOWN]))
        shown += ", …" if len(values) > _MAX_VALUES_SHOWN else ""
        text = f"label values are {shown}, not 1 to {len(values)}; they are kept as they are"
        yield Issue("note", "gaps", text)
    if rare := [value for value in sorted(values) if len(holders[value]) == 1 and n_cases > 1]:
        named = _some([f"{value} ({holders[value][0]})" for value in rare])
        text = f"label values that occur in one case only: {named}; their Dice cannot be estimated"
        yield Issue("warning", "rare_label", text, tuple(holders[value][0] for value in rare))


def _empty(case_stats: Sequence[CaseStats], ignore: int | None) -> Iterator[Issue]:
    empty = [stats.id for stats in case_stats if not stats.labels.keys() - {ignore}]
    if case_stats and len(empty) == len(case_stats):
        text = "no label map holds anything but 0: there is nothing to learn"
        yield Issue("error", "no_foreground", text, tuple(empty))
    elif empty:
        yield Issue("warning", "empty", f"{_some(empty)} have an empty label map", tuple(empty))
    for stats in case_stats:
        few = [v for v, label in stats.labels.items() if label.n_voxels < _FEW_VOXELS]
        if few:
            values = ", ".join(f"{v} ({stats.labels[v].n_voxels})" for v in few[:_SHOWN])
            text = f"{stats.id}: fewer than {_FEW_VOXELS} voxels of label {values}; strays?"
            yield Issue("warning", "stray_voxels", text, (stats.id,))


def _duplicates(cases: Sequence[LabeledCase], case_stats: Sequence[CaseStats]) -> Iterator[Issue]:
    labels = {stats.id: stats.label_digest for stats in case_stats}
    patients = {case.id: case.patient for case in cases}
    for same in duplicates(case_stats):
        alike = len({labels[name] for name in same}) == 1
        what = "the same labels" if alike else "different labels"
        other = len({patients[name] for name in same}) > 1
        text = f"{' and '.join(same[:_SHOWN])} hold the same scan with {what}"
        text += "; they are kept together as one patient" if other else ""
        yield Issue("warning" if alike else "error", "duplicate", text, same)


def duplicates(case_stats: Iterable[CaseStats]) -> list[tuple[str, ...]]:
    """Return the ids of cases whose scans are equal voxel by voxel, group by group."""
    by_digest: dict[str, list[str]] = defaultdict(list)
    for stats in case_stats:
        if stats.image_digest:
            by_digest[stats.image_digest].append(stats.id)
    return [tuple(same) for same in by_digest.values() if len(same) > 1]


def _folds(cases: Sequence[LabeledCase]) -> Iterator[Issue]:
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
            yield Issue("error", "patient_in_two_folds", text, tuple(members[patient]))


def _outliers(case_stats: Sequence[CaseStats]) -> Iterator[Issue]:
    sizes = [sorted(stats.spacing_mm) for stats in case_stats]
    if not sizes:
        return
    usual = [median(size[n] for size in sizes) for n in range(3)]
    for stats, size in zip(case_stats, sizes, strict=True):
        far = [
            n for n in range(3)
            if not 1 / OUTLIER_RATIO <= size[n] / usual[n] <= OUTLIER_RATIO
        ]  # fmt: skip
        if far:
            sizes_mm = f"{_mm(stats.spacing_mm)} mm is far from the usual {_mm(usual)} mm"
            text = f"{stats.id}: spacing {sizes_mm}"
            yield Issue("warning", "spacing", text, (stats.id,))


def _reader_warnings(case_stats: Sequence[CaseStats]) -> Iterator[Issue]:
    by_text: dict[str, list[str]] = defaultdict(list)
    for stats in case_stats:
        for text in stats.warnings:
            by_text[text].append(stats.id)
    for text, ids in by_text.items():
        yield Issue("warning", "geometry", f"{_some(ids)}: {text}", tuple(ids))


def _some(ids: Sequence[str]) -> str:
    """Name a few cases and count the rest."""
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more


def _mm(sizes: Sequence[float]) -> str:
    return " × ".join(f"{size:.3g}" for size in sizes)
