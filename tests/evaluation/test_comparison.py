from __future__ import annotations

import csv
import json

import nibabel as nib
import numpy as np
import pytest

from unet_med.evaluation import compare_cohorts

SHAPE = (6, 5, 4)
AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])


def save(folder, case, mask):
    folder.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), AFFINE), folder / f"{case}.nii")


def reference():
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:5, 1:4, 1:3] = 1
    return mask


@pytest.fixture
def folders(tmp_path):
    """Seven cases: ours misses voxels in c0 … c6, 0 to 6; theirs misses 7 in each."""
    for index in range(7):
        true = reference()
        save(tmp_path / "r", f"c{index}", true)
        for side, missed in (("a", index), ("b", 7)):
            mask = true.copy()
            mask.flat[np.flatnonzero(true)[:missed]] = 0
            save(tmp_path / side, f"c{index}", mask)
    return tmp_path


def compare(folder, **options):
    return compare_cohorts(folder / "a", folder / "b", references=folder / "r", **options)


def dice_of(missed, size=24):
    return 2 * (size - missed) / (2 * size - missed)


def test_differences_are_paired_by_case_and_label(folders):
    found = compare(folders)
    assert found.exit_code == 0
    for index, row in enumerate(found.rows):
        assert row["case"] == f"c{index}"
        assert row["volume_dice"] == pytest.approx(dice_of(index))
        assert row["volume_dice_baseline"] == pytest.approx(dice_of(7))
        assert row["volume_dice_difference"] == pytest.approx(dice_of(index) - dice_of(7))
        assert row["volume_dice_change"] == "better"
        assert row["hd95_mm_difference"] == row["hd95_mm"] - row["hd95_mm_baseline"]
    (label,) = found.summary["labels"]
    differences = [dice_of(index) - dice_of(7) for index in range(7)]
    assert label["volume_dice"]["mean_difference"] == pytest.approx(np.mean(differences))
    low, high = label["volume_dice"]["ci95"]
    assert 0 < low < np.mean(differences) < high
    assert label["volume_dice"]["wilcoxon"]["p"] == pytest.approx(2 / 2**7)
    assert [label["volume_dice"][name] for name in ("better", "worse", "equal")] == [7, 0, 0]


def test_swapping_the_sides_swaps_the_signs(folders):
    ours = compare(folders)
    theirs = compare_cohorts(folders / "b", folders / "a", references=folders / "r")
    one, other = (found.summary["labels"][0]["volume_dice"] for found in (ours, theirs))
    assert other["mean_difference"] == pytest.approx(-one["mean_difference"])
    assert (other["better"], other["worse"]) == (one["worse"], one["better"])
    assert other["wilcoxon"]["p"] == one["wilcoxon"]["p"]
    changed = ours.summary["labels"][0]["slices"], theirs.summary["labels"][0]["slices"]
    assert changed[0]["better"] == changed[1]["worse"] > 0


def test_a_smaller_distance_is_better(folders):
    for row in compare(folders).rows:
        assert row["hd95_mm_change"] == ("better" if row["hd95_mm_difference"] < 0 else "equal")


def test_slices_that_changed_are_listed_with_both_scores(folders):
    found = compare(folders)
    rows = list(found.slice_rows)
    for row in rows:
        index, at = int(row["case"][1]), row["slice"]
        true = reference()[..., at]
        scores = []
        for missed in (index, 7):
            mask = reference()
            mask.flat[np.flatnonzero(reference())[:missed]] = 0
            cut = mask[..., at]
            scores.append(2 * (cut & true).sum() / (cut.sum() + true.sum()))
        assert [row["dice"], row["dice_baseline"]] == pytest.approx(scores)
        assert row["change"] == ("better" if scores[0] > scores[1] else "worse")
    counts = found.summary["labels"][0]["slices"]
    assert counts["better"] + counts["worse"] == len(rows)
    assert sum(counts.values()) == 7 * 2  # two of four slices hold the label


def test_two_misses_are_equal_and_one_is_an_infinite_difference(tmp_path):
    nothing = np.zeros(SHAPE, np.uint8)
    pairs = {"both": (nothing, nothing), "ours": (nothing, reference()), "good": [reference()] * 2}
    for case, (one, other) in pairs.items():
        save(tmp_path / "r", case, reference())
        save(tmp_path / "a", case, one)
        save(tmp_path / "b", case, other)
    found = compare(tmp_path)
    rows = {row["case"]: row for row in found.rows}
    assert (rows["both"]["hd95_mm_difference"], rows["both"]["hd95_mm_change"]) == (0, "equal")
    assert (rows["ours"]["hd95_mm_difference"], rows["ours"]["hd95_mm_change"]) == (np.inf, "worse")
    distance = found.summary["labels"][0]["hd95_mm"]
    assert (distance["n"], distance["n_infinite"]) == (3, 1)
    assert distance["mean_difference"] == np.inf
    assert distance["wilcoxon"]["reason"] == "only 1 pairs differ, 6 are needed"


def test_rightly_empty_beats_a_false_positive(tmp_path):
    false = np.zeros(SHAPE, np.uint8)
    false[0, 0, 0] = 1
    for case, true in (("ill", reference()), ("well", np.zeros(SHAPE, np.uint8))):
        save(tmp_path / "r", case, true)
        save(tmp_path / "a", case, true)
        save(tmp_path / "b", case, true | false)
    found = compare(tmp_path)
    well = found.rows[1]
    assert well["case"] == "well"
    assert well["volume_dice_difference"] is None
    assert well["volume_dice_change"] == well["hd95_mm_change"] == "better"
    assert (well["slices_better"], well["slices_worse"], well["slices_equal"]) == (1, 0, 0)
    assert found.summary["labels"][0]["volume_dice"]["n_undefined"] == 1


def test_a_label_in_one_prediction_only_is_compared_too(folders):
    mask = reference()
    mask[0, 0, 0] = 2
    save(folders / "b", "c3", mask)
    found = compare(folders, labels=None, label_names={1: "a", 2: "b"})
    row = next(row for row in found.rows if (row["case"], row["label"]) == ("c3", 2))
    assert row["volume_dice"] is None
    assert row["volume_dice_baseline"] == 0
    assert row["volume_dice_change"] == "better"


def test_missing_cases_score_0_and_failed_ones_are_unpaired(folders, tmp_path):
    (folders / "a" / "c0.nii").unlink()
    (folders / "b" / "c1.nii").write_text("no mask")
    found = compare(folders, output=tmp_path / "out")
    assert found.exit_code == 1
    assert found.rows[0] | {"volume_dice": 0.0, "volume_dice_change": "worse"} == found.rows[0]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["comparison"]["unpaired"] == ["c1"]
    assert summary["comparison"]["n_pairs"] == 6


def test_all_files_are_written_and_agree(folders, tmp_path):
    found = compare(folders, output=tmp_path / "out")
    written = {path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.rglob("out/**/*")}
    assert written >= {
        "slices.csv", "cases.csv", "summary.json", "comparison.csv", "comparison_slices.csv",
        "baseline/slices.csv", "baseline/cases.csv", "baseline/summary.json",
    }  # fmt: skip
    with (tmp_path / "out" / "comparison.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["volume_dice_difference"]) for row in rows] == [
        row["volume_dice_difference"] for row in found.rows
    ]
    assert list(rows[0]) == list(found.rows[0])


def test_counts_alone_are_compared_without_distances(folders):
    from unet_med.evaluation import MetricSettings

    found = compare(folders, metrics=MetricSettings(surface_metrics=False))
    assert "hd95_mm" not in found.rows[0]
    assert "hd95_mm" not in found.summary["labels"][0]
