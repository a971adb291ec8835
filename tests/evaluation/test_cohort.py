from __future__ import annotations

import json
import logging

import nibabel as nib
import numpy as np
import pytest

from unet_med.errors import GeometryError, InputError, LabelError, OutputError
from unet_med.evaluation import CohortScores, evaluate_cohort
from unet_med.evaluation import case as evaluated_case
from unet_med.metrics import EmptyPolicy
from unet_med.volumes import from_array, open_volume, write_mask

SHAPE = (4, 6, 5)
AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])


def random_mask(seed, values=(0, 1, 2)):
    return np.random.default_rng(seed).choice(np.array(values, np.uint8), size=SHAPE)


class Cohort:
    """Two folders that a test fills."""

    def __init__(self, root):
        self.predictions, self.references = root / "p", root / "r"
        self.predictions.mkdir()
        self.references.mkdir()

    def add(self, case, prediction, reference, *, affine=AFFINE):
        if prediction is not None:
            path = self.predictions / f"{case}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(prediction, affine), path)
        if reference is not None:
            path = self.references / f"{case}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(reference, AFFINE), path)
        return self

    def evaluate(self, **settings) -> CohortScores:
        return evaluate_cohort(self.predictions, self.references, **settings)


@pytest.fixture
def cohort(tmp_path):
    return Cohort(tmp_path)


def by_case_and_label(scores):
    return {(row["case"], row["label"]): row for row in scores.cases}


def test_a_cohort_of_good_cases_is_scored_and_counts_agree(cohort):
    masks = {f"site/{i}": (random_mask(i), random_mask(10 + i)) for i in range(3)}
    for case, (prediction, reference) in masks.items():
        cohort.add(case, prediction, reference)
    scores = cohort.evaluate()
    assert scores.exit_code == 0
    assert len(scores.slices) == 3 * 2 * SHAPE[2]
    for (case, label), row in by_case_and_label(scores).items():
        p, r = (mask == label for mask in masks[case])
        assert (row["tp"], row["fp"], row["fn"]) == ((p & r).sum(), (p & ~r).sum(), (~p & r).sum())
        assert row["volume_dice"] == pytest.approx(
            2 * (p & r).sum() / (p.sum() + r.sum()), rel=1e-15
        )
        assert row["reference_volume_ml"] == pytest.approx(r.sum() * 0.003)
        assert row["prediction_volume_ml"] == pytest.approx(p.sum() * 0.003)
        own = [s for s in scores.slices if (s["case"], s["label"]) == (case, label)]
        assert sum(s["tp"] for s in own) == row["tp"]
        assert [s["slice"] for s in own] == list(range(SHAPE[2]))
        known = [s["dice"] for s in own if s["dice"] is not None]
        assert row["slice_dice_mean_skip"] == pytest.approx(np.mean(known))
        assert row["slice_dice_median_skip"] == pytest.approx(np.median(known))


def test_a_missing_prediction_scores_0_for_each_label_of_its_reference(cohort):
    cohort.add("a", random_mask(0), random_mask(0)).add("b", None, random_mask(1))
    scores = cohort.evaluate()
    rows = by_case_and_label(scores)
    assert [rows["b", label]["volume_dice"] for label in (1, 2)] == [0.0, 0.0]
    assert rows["b", 1]["status"] == "missing"
    assert scores.summary["cases"]["missing"] == ["b"]
    assert scores.summary["labels"][0]["volume_dice"]["mean"] == pytest.approx(0.5)
    assert scores.summary["labels"][0]["volume_dice"]["min"] == 0
    assert scores.exit_code == 1


def test_an_extra_prediction_is_listed_and_not_scored(cohort):
    cohort.add("a", random_mask(0), random_mask(0)).add("a_old", random_mask(1), None)
    scores = cohort.evaluate()
    assert scores.summary["cases"]["extra"] == [{"case": "a_old", "nearest": []}]
    assert {row["case"] for row in scores.cases} == {"a"}
    assert scores.exit_code == 0


def test_bad_cases_are_listed_with_their_text_and_never_stop_the_others(cohort):
    cohort.add("good", random_mask(0), random_mask(0))
    cohort.add("grid", random_mask(1), random_mask(1), affine=np.diag([1.0, 1, 5, 1]))
    cohort.add("four_d", np.stack([random_mask(2)] * 2, -1), random_mask(2))
    cohort.add("nan", np.full(SHAPE, np.nan, np.float32), random_mask(3))
    cohort.add("soft", np.full(SHAPE, 0.7, np.float32), random_mask(3))
    cohort.add("scale", random_mask(4, (0, 255)), random_mask(4))
    cohort.add("text", None, random_mask(5))
    (cohort.predictions / "text.nii.gz").write_text("no mask")
    scores = cohort.evaluate()
    errors = {one.case: one.error for one in scores.failed}
    assert sorted(errors) == ["four_d", "grid", "nan", "scale", "soft", "text"]
    assert "(1, 1, 5) vs (1, 1, 3)" in errors["grid"]
    assert "2 channels or frames" in errors["four_d"]
    assert "nan" in errors["nan"]
    assert "0.7" in errors["soft"]
    assert "{0, 255}, the reference holds {0, 1, 2}" in errors["scale"]
    assert all("\n" not in error for error in errors.values())
    assert [case.case for case in scores.scored] == ["good"]
    assert scores.labels == (1, 2)
    assert scores.exit_code == 1
    rows = by_case_and_label(scores)
    assert rows["grid", 1]["status"] == "failed"
    assert rows["grid", 1]["volume_dice"] is None
    assert rows["grid", 1]["error"] == errors["grid"]
    assert scores.summary["labels"][0]["n"] == 1


def test_a_prediction_of_another_known_label_is_a_miss_not_an_error(cohort):
    one, two = random_mask(0, (0, 1)), random_mask(1, (0, 2))
    cohort.add("both", random_mask(2), random_mask(2)).add("swapped", two, one)
    rows = by_case_and_label(cohort.evaluate())
    assert rows["swapped", 1]["volume_dice"] == 0
    assert rows["swapped", 2]["volume_dice"] == 0


@pytest.mark.parametrize("known", [{"labels": [1, 2]}, {"label_names": {1: "a", 2: "b"}}])
def test_named_labels_belong_together(cohort, known):
    cohort.add("a", random_mask(0, (0, 2)), random_mask(1, (0, 1)))
    assert len(cohort.evaluate().failed) == 1
    assert cohort.evaluate(**known).exit_code == 0


def test_an_unforeseen_failure_is_listed_and_logged(cohort, monkeypatch, caplog):
    cohort.add("a", random_mask(0), random_mask(0)).add("b", random_mask(1), random_mask(1))

    def failing_open(path, **options):
        if path.name.startswith("a"):
            msg = "out of luck"
            raise RuntimeError(msg)
        return open_volume(path, **options)

    monkeypatch.setattr(evaluated_case, "open_volume", failing_open)
    with caplog.at_level(logging.ERROR):
        scores = cohort.evaluate()
    assert [one.case for one in scores.failed] == ["a"]
    assert "RuntimeError: out of luck" in scores.failed[0].error
    assert "Traceback" in caplog.text
    assert [case.case for case in scores.scored] == ["b"]


@pytest.mark.parametrize(
    ("policy", "mean"),
    [(EmptyPolicy.SKIP, 2 / 3), (EmptyPolicy.ONE, 4 / 5), (EmptyPolicy.ZERO, 2 / 5)],
)
def test_slice_means_follow_the_policy_and_carry_its_name(cohort, policy, mean):
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:3, 1:3, 1:4] = 1  # three of five slices
    prediction = mask.copy()
    prediction[..., 3] = 0  # one slice missed
    scores = cohort.add("a", prediction, mask).evaluate(empty=policy)
    (row,) = scores.cases
    assert row[f"slice_dice_mean_{policy}"] == pytest.approx(mean)
    assert row["volume_dice"] == pytest.approx(2 * 8 / (8 + 12))
    assert [
        row[f"n_{state}"] for state in ("both_empty", "reference_empty", "prediction_empty", "both")
    ] == [2, 0, 1, 2]
    assert [one["dice"] for one in scores.slices] == [None, 1, 1, 0, None]
    assert scores.summary["settings"]["empty"] == policy
    assert f"_{policy})" in scores.summary["metric_notes"]["slice_means"]


def test_a_healthy_case_gets_rows_for_the_labels_of_the_cohort(cohort):
    empty = np.zeros(SHAPE, np.uint8)
    scores = cohort.add("ill", random_mask(0), random_mask(0)).add("well", empty, empty).evaluate()
    rows = by_case_and_label(scores)
    assert rows["well", 1]["volume_dice"] is None
    assert rows["well", 1]["n_both_empty"] == SHAPE[2]
    found = scores.summary["labels"][0]
    assert [found[name] for name in ("label", "name", "n", "n_both", "n_both_empty")] == [
        1, "", 1, 1, 1,
    ]  # fmt: skip
    assert found["hd95_mm"]["n"] == 1  # the healthy case has no distance, and none is made up
    assert scores.exit_code == 0


def test_only_empty_masks_give_tables_without_rows(cohort, tmp_path):
    empty = np.zeros(SHAPE, np.uint8)
    scores = cohort.add("a", empty, empty).evaluate(output=tmp_path / "out")
    assert scores.slices == scores.cases == []
    assert scores.summary["cases"]["scored"] == ["a"]


def test_label_names_come_from_the_caller_else_from_the_mask_header(cohort):
    like = from_array(np.zeros(SHAPE, np.int16), AFFINE)
    write_mask(
        random_mask(0), cohort.predictions / "a.nii.gz", like=like, label_names={1: "csf", 2: "gm"}
    )
    cohort.add("a", None, random_mask(1))
    assert cohort.evaluate().label_names == {1: "csf", 2: "gm"}
    scores = cohort.evaluate(label_names={2: "gray matter"})
    assert [(row["label"], row["label_name"]) for row in scores.cases] == [
        (1, "csf"),
        (2, "gray matter"),
    ]


def test_worst_slices_come_first_and_large_errors_before_small_ones(cohort):
    reference = np.ones(SHAPE, np.uint8)
    prediction = reference.copy()
    prediction[..., 2] = 0
    prediction[:2, :, 4] = 0
    reference[:, 1:, 0] = 0
    prediction[..., 0] = 0  # missed too, but only four voxels
    scores = cohort.add("a", prediction, reference).evaluate()
    assert [row["slice"] for row in scores.worst_slices(3)] == [2, 0, 4]


def test_progress_is_told_after_each_case(cohort):
    for name in "ab":
        cohort.add(name, random_mask(0), random_mask(0))
    told = []
    cohort.evaluate(progress=lambda *call: told.append(call))
    assert told == [(1, 2, "a"), (2, 2, "b")]


def test_paths_and_policies_may_be_plain_text(cohort, tmp_path):
    cohort.add("a", random_mask(0), random_mask(0))
    paths = (str(cohort.predictions), str(cohort.references))
    scores = evaluate_cohort(*paths, output=str(tmp_path / "out"), empty="one")
    assert scores.settings.empty is EmptyPolicy.ONE
    assert (tmp_path / "out" / "cases.csv").is_file()


def test_settings_that_cannot_be_are_refused_before_reading(tmp_path):
    nowhere = tmp_path / "nowhere"
    with pytest.raises(GeometryError, match="'z' is unknown"):
        evaluate_cohort(nowhere, nowhere, slice_axis="z")
    with pytest.raises(LabelError, match="distinct"):
        evaluate_cohort(nowhere, nowhere, labels=[1, 1])
    with pytest.raises(LabelError, match="0 is the background"):
        evaluate_cohort(nowhere, nowhere, labels=[0, 1])
    with pytest.raises(InputError, match="does not exist"):
        evaluate_cohort(nowhere, nowhere)


def test_an_output_that_cannot_be_written_is_an_output_error(cohort, tmp_path):
    cohort.add("a", random_mask(0), random_mask(0))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        cohort.evaluate(output=tmp_path / "file")


def test_the_summary_is_plain_json(cohort, tmp_path):
    cohort.add("a", np.zeros(SHAPE, np.uint8), random_mask(0)).evaluate(output=tmp_path / "out")
    text = (tmp_path / "out" / "summary.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    summary = json.loads(text)
    assert (summary["schema"], summary["schema_version"]) == ("unet_med.evaluation", 3)
    assert summary["slice_axes"] == {"axial": 1}
    assert summary["labels"][0]["volume_dice"] == {
        "n": 1, "n_undefined": 0, "n_infinite": 0, "mean": 0, "median": 0, "std": None, "min": 0,
        "max": 0, "ci95": None,
    }  # fmt: skip
