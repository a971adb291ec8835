from __future__ import annotations

from pathlib import Path

import pytest

from unet_med.cases import CaseStats, LabeledCase
from unet_med.cases.label_stats import LabelStats
from unet_med.errors import InputError
from unet_med.training.planning.split import (
    plan_merge_validation,
    plan_validation,
    split_into_folds,
)

LABEL = LabelStats(1, 1.0, (1, 1, 1), (1, 1, 1), (0, 0, 0))


def cases_of(*patients, labels=None, folds=None, held_out=()):
    """One case per named patient; ``labels`` gives the values of each case."""
    pairs = []
    for number, patient in enumerate(patients):
        name = f"c{number:02d}"
        values = (1,) if labels is None else labels[number]
        fold = None if folds is None else folds[number]
        case = LabeledCase(
            name, (Path(f"{name}.nii"),), Path(f"{name}_l.nii"), patient, fold, name in held_out
        )
        pairs.append((case, CaseStats(name, labels=dict.fromkeys(values, LABEL))))
    return pairs


def test_whole_patients_are_held_out_the_same_each_time():
    cases = cases_of(*"aabbccddee")
    held, note = plan_validation(cases, share=0.2, seed=0)
    assert held == plan_validation(cases, share=0.2, seed=0)[0]
    assert len(held) == 2
    assert len({case.patient for case, _ in cases if case.id in held}) == 1
    assert "1 patient of 5" in note
    others = {plan_validation(cases, share=0.2, seed=seed)[0] for seed in range(20)}
    assert len(others) > 1


def test_every_label_stays_in_training():
    labels = [(1, 2), (1,), (1,), (1, 2, 3)]
    for seed in range(10):
        held, _ = plan_validation(cases_of(*"abcd", labels=labels), share=0.25, seed=seed)
        assert held == ("c00",)  # c03 alone has label 3; c00 has most of the rest


def test_what_cannot_be_spared_is_not_held_out():
    labels = [(1,), (2,), (3,)]
    held, note = plan_validation(cases_of(*"abc", labels=labels), share=0.2, seed=0)
    assert held == ()
    assert "every patient has a label that no other has" in note


@pytest.mark.parametrize(("patients", "share"), [("a", 0.2), ("ab", 0.2), ("aab", 0.2), ("abc", 0)])
def test_few_patients_are_all_trained_on_and_said_to_be(patients, share):
    held, note = plan_validation(cases_of(*patients), share=share, seed=0)
    assert held == ()
    assert "no estimate" in note


def test_a_list_decides_who_is_held_out():
    held, note = plan_validation(cases_of(*"abc", held_out={"c01"}), share=0.5, seed=0)
    assert held == ("c01",)
    assert "as the list states" in note


def test_few_patients_are_all_trained_on_in_the_end_unless_a_list_says_otherwise():
    few, many = cases_of(*"abcd"), cases_of(*"abcdefghij")
    assert plan_merge_validation(few, ("c00",))[0] == 0.75
    assert "the last weights train on them, too" in plan_merge_validation(few, ("c00",))[1]
    assert plan_merge_validation(few, ()) == (None, "")
    assert plan_merge_validation(many, ("c00",)) == (None, "")
    assert plan_merge_validation(cases_of(*"abcd", held_out={"c01"}), ("c01",)) == (None, "")


def test_folds_hold_whole_patients_in_equal_parts():
    cases = cases_of(*"aaabbccddeefg")
    folded = split_into_folds(cases, 3, seed=1)
    by_patient = {}
    for case in folded:
        by_patient.setdefault(case.patient, set()).add(case.fold)
    assert all(len(folds) == 1 for folds in by_patient.values())
    sizes = [sum(case.fold == fold for case in folded) for fold in range(3)]
    assert max(sizes) - min(sizes) <= 1
    assert folded == split_into_folds(cases, 3, seed=1)


def test_stated_folds_are_kept():
    folded = split_into_folds(cases_of(*"abcd", folds=(1, 0, 1, 0)), 2)
    assert [case.fold for case in folded] == [1, 0, 1, 0]
    with pytest.raises(InputError, match=r"states the folds \[0, 1\]"):
        split_into_folds(cases_of(*"abcd", folds=(1, 0, 1, 0)), 3)
    with pytest.raises(InputError, match="none for c02"):
        split_into_folds(cases_of(*"abcd", folds=(1, 0, None, 0)), 2)


def test_cases_that_a_list_holds_out_are_not_dealt_to_folds():
    with pytest.raises(InputError, match=r"holds 1 case out for validation \(c02\), but --folds"):
        split_into_folds(cases_of(*"abcd", held_out=("c02",)), 2)


def test_an_ignored_value_may_stand_in_one_fold_only():
    cases = cases_of(*"abcd", labels=[(1,), (1,), (1,), (1, 255)])
    assert len(split_into_folds(cases, 2, ignore=255)) == 4
    with pytest.raises(InputError, match="255 exist in one fold only"):
        split_into_folds(cases, 2)


@pytest.mark.parametrize(
    ("patients", "n_folds", "labels", "message"),
    [
        ("ab", 3, None, "2 patients: choose --folds 2 to 2"),
        ("aaa", 2, None, "1 patient"),
        ("abcd", 1, None, "at least 2 folds"),
        ("abcd", 2, [(1,), (1,), (1,), (1, 7)], "label values 7 exist in one fold only"),
    ],
)
def test_folds_that_make_no_sense_are_one_clear_line(patients, n_folds, labels, message):
    with pytest.raises(InputError, match=message):
        split_into_folds(cases_of(*patients, labels=labels), n_folds)
