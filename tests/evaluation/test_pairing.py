from __future__ import annotations

import pytest

from unet_med.errors import InputError
from unet_med.evaluation.pairing import close_matches, pair_cases


def make_folder(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def paired(tmp_path, predictions, references):
    return pair_cases(
        make_folder(tmp_path / "p", *predictions), make_folder(tmp_path / "r", *references)
    )


def test_names_without_ending_are_paired_in_their_relative_folders(tmp_path):
    pairing = paired(
        tmp_path,
        ["a.nii.gz", "site 1/a.nii", "v1.2.nii.gz"],
        ["a.nii", "site 1/a.nii.gz", "v1.2.nii"],
    )
    assert [(pair.case, pair.prediction.name, pair.reference.name) for pair in pairing.pairs] == [
        ("a", "a.nii.gz", "a.nii"),
        ("site 1/a", "a.nii", "a.nii.gz"),
        ("v1.2", "v1.2.nii.gz", "v1.2.nii"),
    ]
    assert pairing.extra == pairing.failed == ()


def test_masks_named_by_a_first_channel_belong_to_their_case(tmp_path):
    predictions = ["a_0000.nii.gz", "ward/b_0000.nii", "c_0000.nii", "d.nii", "d_0000.nii"]
    pairing = paired(tmp_path, predictions, ["a.nii", "ward/b.nii", "c_0000.nii", "d.nii", "e.nii"])
    assert {pair.case: pair.prediction and pair.prediction.name for pair in pairing.pairs} == {
        "a": "a_0000.nii.gz", "ward/b": "b_0000.nii", "c_0000": "c_0000.nii", "d": "d.nii",
        "e": None,
    }  # fmt: skip
    assert [extra.case for extra in pairing.extra] == ["d_0000"]


def test_missing_and_extra_predictions_are_named_with_what_is_near(tmp_path):
    pairing = paired(tmp_path, ["a.nii", "case_07_pred.nii", "other.nii"], ["a.nii", "case_07.nii"])
    assert [(pair.case, pair.prediction is None) for pair in pairing.pairs] == [
        ("a", False),
        ("case_07", True),
    ]
    assert [(extra.case, extra.nearest) for extra in pairing.extra] == [
        ("case_07_pred", ("case_07",)),
        ("other", ()),
    ]


def test_two_files_of_one_name_fail_that_case_alone(tmp_path):
    pairing = paired(tmp_path, ["a.nii", "a.nii.gz", "b.nii"], ["a.nii", "b.nii"])
    assert [pair.case for pair in pairing.pairs] == ["b"]
    assert [failed.case for failed in pairing.failed] == ["a"]
    assert "2 predictions have this name: a.nii, a.nii.gz" in pairing.failed[0].error


def test_hidden_files_sidecars_and_headers_of_pairs_are_no_cases(tmp_path):
    pairing = paired(
        tmp_path,
        ["a.nii", ".b.nii", ".cache/c.nii", "a.json", "ledger.jsonl", "d.hdr", "d.img"],
        ["a.nii", "d.img", "d.hdr"],
    )
    assert [pair.case for pair in pairing.pairs] == ["a", "d"]
    assert pairing.extra == pairing.failed == ()


def test_nothing_behind_a_link_is_lost(tmp_path):
    """Cases that silently leave a cohort can flatter its means."""
    make_folder(tmp_path / "elsewhere", "c.nii")
    for side in "pr":
        make_folder(tmp_path / side, "a.nii", "b.nii")
        (tmp_path / side / "site").symlink_to(tmp_path / "elsewhere")
        (tmp_path / side / "site loop").symlink_to(tmp_path / side)
    (tmp_path / "p/b.nii").unlink()
    (tmp_path / "p/b.nii").symlink_to("not fetched")
    (tmp_path / "r/d.nii").symlink_to("not fetched")
    pairing = pair_cases(tmp_path / "p", tmp_path / "r")
    found = {pair.case: (pair.prediction is not None) for pair in pairing.pairs}
    assert found == {"a": True, "b": False, "d": False, "site/c": True}


def test_two_files_are_a_pair_whatever_their_names(tmp_path):
    folder = make_folder(tmp_path, "out.nii.gz", "truth.nii")
    pairing = pair_cases(folder / "out.nii.gz", folder / "truth.nii")
    assert [pair.case for pair in pairing.pairs] == ["truth"]


def test_one_file_against_a_folder_is_that_case_alone(tmp_path):
    references = make_folder(tmp_path / "r", "a.nii", "b.nii")
    prediction = make_folder(tmp_path / "p", "b.nii.gz", "c.nii.gz")
    one = pair_cases(prediction / "b.nii.gz", references)
    assert [pair.case for pair in one.pairs] == ["b"]
    other = pair_cases(prediction, references / "b.nii")
    assert [pair.case for pair in other.pairs] == ["b"]
    assert one.extra == other.extra == ()
    with pytest.raises(InputError, match=r"predictions \{c\}, references \{a, b\}"):
        pair_cases(prediction / "c.nii.gz", references)


def test_no_pair_at_all_is_an_error_that_shows_near_names(tmp_path):
    with pytest.raises(InputError, match=r"near: scan1_seg for scan1"):
        paired(tmp_path, ["scan1_seg.nii", "zz.nii"], ["scan1.nii"])


@pytest.mark.parametrize("side", ["p", "r"])
def test_an_empty_or_absent_folder_is_an_error_that_names_it(tmp_path, side):
    make_folder(tmp_path / "p", "a.nii")
    make_folder(tmp_path / "r", "a.nii")
    (tmp_path / side / "a.nii").unlink()
    with pytest.raises(InputError, match=rf"{side} holds no mask"):
        pair_cases(tmp_path / "p", tmp_path / "r")
    (tmp_path / side).rmdir()
    with pytest.raises(InputError, match=rf"{side} does not exist"):
        pair_cases(tmp_path / "p", tmp_path / "r")


def test_near_names_come_best_first():
    assert close_matches("case1", ["zz", "my_very_own_prediction_of_case1_final", "case2"]) == (
        "case2",
        "my_very_own_prediction_of_case1_final",
    )
