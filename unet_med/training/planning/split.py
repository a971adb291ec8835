"""Which patients are held out, and how they are shared out over folds."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from unet_med.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unet_med.cases import CaseStats, LabeledCase

    Cases = Sequence[tuple[LabeledCase, CaseStats]]

MOST_PATIENTS = 12
"""Held out at the most: each is segmented whole every time the weights are judged."""

MERGE_PATIENTS, MERGE_VALIDATION_AFTER = 10, 0.75
"""With fewer patients than this every one counts: those held out are trained on, too, after this
share of the run."""

FEWEST_PATIENTS = 3
"""With fewer patients all are trained on: holding one of two out halves the data."""


def plan_validation(
    cases: Cases, *, share: float, seed: int, ignore: int | None = None
) -> tuple[tuple[str, ...], str]:
    """Choose the cases held out: as a list states, else whole patients drawn by the seed.

    A patient is held out only if every label stays in training, patients with more labels first.

    Args:
        cases: The usable cases.
        share: Of the patients to hold out; at least one, from `FEWEST_PATIENTS` on.
        seed: Start of the random order.
        ignore: Value that is no label.

    Returns:
        Ids, in the order of the cases, and one sentence.
    """
    stated = tuple(case.id for case, _ in cases if case.held_out)
    if stated:
        return stated, f"held out: {_listed(stated)}, as the list states"
    patients = _labels_by_patient(cases, ignore)
    if share == 0 or len(patients) < FEWEST_PATIENTS:
        why = (
            "as asked" if share == 0 else f"with {_count(len(patients), 'patient')} all are needed"
        )
        return (), f"held out: none, {why}; scores on training cases are no estimate"
    wanted = min(max(1, round(share * len(patients))), MOST_PATIENTS)
    chosen = _droppable(patients, wanted, seed)
    held = tuple(case.id for case, _ in cases if case.patient in chosen)
    if not held:
        text = "held out: none, since every patient has a label that no other has"
        return (), f"{text}; scores on training cases are no estimate"
    few = "; an estimate from so few says little" if len(chosen) < FEWEST_PATIENTS else ""
    text = f"held out: {_listed(held)} ({_count(len(chosen), 'patient')} of {len(patients)})"
    return held, f"{text}{few}"


def plan_merge_validation(cases: Cases, held: Sequence[str]) -> tuple[float | None, str]:
    """Decide whether cases held out are trained on in the end, and say so.

    A list that holds cases out means it: those are never trained on.

    Args:
        cases: The usable cases.
        held: Ids of those held out.

    Returns:
        The plan's ``merge_validation_after``, and half a sentence.
    """
    patients = {case.patient for case, _ in cases}
    stated = any(case.held_out for case, _ in cases)
    if not held or stated or len(patients) >= MERGE_PATIENTS:
        return None, ""
    return MERGE_VALIDATION_AFTER, (
        f". With fewer than {MERGE_PATIENTS} patients every one counts: after "
        f"{MERGE_VALIDATION_AFTER:.0%} of the run, when the estimate has been taken, "
        "the last weights train on them, too"
    )


def split_into_folds(
    cases: Cases, n_folds: int, *, seed: int = 0, ignore: int | None = None
) -> list[LabeledCase]:
    """Give every case a fold, whole patients at a time, folds as equal in cases as they can be.

    Folds that a list states for every case are kept.

    Args:
        cases: The usable cases.
        n_folds: Number of folds K.
        seed: Start of the random order.
        ignore: Value that is no label.

    Returns:
        The cases with ``fold`` 0 … K - 1, in their order.

    Raises:
        InputError: A list holds cases out for good, there are fewer patients than folds, stated
            folds are not 0 … K - 1 or are stated for some cases only, or a label would have to be
            learned from no case.
    """
    _refuse_held_out([case.id for case, _ in cases if case.held_out])
    stated = {case.fold for case, _ in cases}
    if None in stated and len(stated) > 1:
        without = next(case.id for case, _ in cases if case.fold is None)
        msg = f"the list states a fold for some cases, but none for {without}: state all, or none"
        raise InputError(msg)
    if None not in stated:
        if stated != set(range(n_folds)):
            shown = sorted(fold for fold in stated if fold is not None)
            msg = f"the list states the folds {shown}, --folds {n_folds} wants 0 to {n_folds - 1}"
            raise InputError(msg)
        folded = [case for case, _ in cases]
    else:
        folds = _deal(cases, n_folds, seed)
        folded = [replace(case, fold=folds[case.patient]) for case, _ in cases]
    _refuse_labels_of_one_fold(folded, cases, ignore)
    return folded


def _refuse_held_out(ids: Sequence[str]) -> None:
    """Refuse what a list sets apart: every fold but one would train on it."""
    if ids:
        msg = (
            f"the list holds {_count(len(ids), 'case')} out for validation ({_listed(ids)}), but "
            "--folds trains on every case: take them off the list, or leave out --folds"
        )
        raise InputError(msg)


def _deal(cases: Cases, n_folds: int, seed: int) -> dict[str, int]:
    sizes: dict[str, int] = defaultdict(int)
    for case, _ in cases:
        sizes[case.patient] += 1
    if not 2 <= n_folds <= len(sizes):  # noqa: PLR2004 - one fold holds nothing out
        msg = (
            f"{n_folds} folds need at least 2 folds and a patient for each, there are "
            f"{_count(len(sizes), 'patient')}: choose --folds 2 to {max(2, len(sizes))}"
        )
        raise InputError(msg)
    patients = sorted(sizes)
    random.Random(seed).shuffle(patients)  # noqa: S311 - no secret
    patients.sort(key=lambda patient: -sizes[patient])  # stable: large ones first
    filled = [0] * n_folds
    folds: dict[str, int] = {}
    for patient in patients:
        fold = filled.index(min(filled))
        folds[patient] = fold
        filled[fold] += sizes[patient]
    return folds


def _refuse_labels_of_one_fold(
    folded: Sequence[LabeledCase], cases: Cases, ignore: int | None
) -> None:
    """Refuse a label that exists in one fold only: its own fold's model never sees it."""
    where: dict[int, set[int | None]] = defaultdict(set)
    for case, (_, stats) in zip(folded, cases, strict=True):
        for value in stats.labels.keys() - {ignore}:
            where[value].add(case.fold)
    lonely = sorted(value for value, folds in where.items() if len(folds) == 1)
    if lonely:
        msg = (
            f"label values {', '.join(map(str, lonely[:5]))} exist in one fold only, so that no "
            "other case can teach them there: use fewer folds, or --ignore them"
        )
        raise InputError(msg)


def _labels_by_patient(cases: Cases, ignore: int | None) -> dict[str, set[int]]:
    patients: dict[str, set[int]] = defaultdict(set)
    for case, stats in cases:
        patients[case.patient] |= stats.labels.keys() - {ignore}
    return dict(patients)


def _droppable(patients: Mapping[str, set[int]], wanted: int, seed: int) -> set[str]:
    """Choose patients that can be missed in training, those with most labels first."""
    order = sorted(patients)
    random.Random(seed).shuffle(order)  # noqa: S311 - no secret
    order.sort(key=lambda patient: -len(patients[patient]))
    chosen: set[str] = set()
    everything = set().union(*patients.values())
    for patient in order:
        rest = [labels for name, labels in patients.items() if name not in {*chosen, patient}]
        if len(chosen) < wanted and set().union(*rest) == everything:
            chosen.add(patient)
    return chosen


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")  # noqa: PLR2004 - fits a line


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
