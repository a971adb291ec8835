"""The command trains each fold by itself; what cannot be shared out is refused first."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace

import pytest

from tests.cases.datasets import save
from tests.training.planning.made import box_case
from unet_med.backends.precision_report import export_problem
from unet_med.cli import main
from unet_med.errors import InputError, OutputError, UnetMedError
from unet_med.recipe import Recipe
from unet_med.training import RunOptions, TrainingPlan, train_bundle
from unet_med.training.cross_validation import plan_folds, train_folds
from unet_med.training.cross_validation.scoring import SCORES
from unet_med.training.planning import PlanSettings, SourceData, plan_training


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for seed in range(4):
        image, label, affine = box_case((22, 26, 6), (1, 1, 4), seed=seed)
        image[label == 1] += 500
        save(root / f"images/p{seed // 2}_{seed % 2}.nii.gz", image, affine)
        save(root / f"labels/p{seed // 2}_{seed % 2}.nii.gz", label, affine)
    return root


def source_of(data):
    return SourceData(images=data / "images", labels=data / "labels")


def test_the_time_is_shared_out_and_patients_stay_together(data):
    planned = plan_training(source_of(data), PlanSettings(minutes=10, sizes=(2, 4)))
    _, plan = plan_folds(planned, 2)
    assert plan.minutes == pytest.approx(4.5)
    assert (plan.validation, plan.merge_validation_after) == ((), None)
    assert plan.cases[0].fold == plan.cases[1].fold != plan.cases[2].fold == plan.cases[3].fold


def test_what_cannot_be_shared_out_is_one_clear_line(data, tmp_path, capsys):
    planned = plan_training(source_of(data), PlanSettings(steps=1))
    with pytest.raises(InputError, match="2 patients: choose --folds 2 to 2"):
        plan_folds(planned, 3)
    with pytest.raises(InputError, match="cannot be trained on"):
        plan_folds(replace(planned, plan=None, recipe=None), 2)
    folders = ["--images", str(data / "images"), "--labels", str(data / "labels")]
    out = tmp_path / "out"
    assert main(["train", *folders, "--output", str(out), "--folds", "9", "--steps", "1"]) == 2
    assert "choose --folds" in capsys.readouterr().err
    assert not out.exists()


def test_a_run_is_resumed_with_as_many_folds_as_it_was_begun_with(data, tmp_path):
    planned = plan_training(source_of(data), PlanSettings(steps=1, sizes=(2, 4)))
    recipe, plan = plan_folds(planned, 2)
    recipe.save(tmp_path / "folds/recipe.json")
    plan.save(tmp_path / "folds/plan.json")
    with pytest.raises(InputError, match="begun with 2 folds: go on with --folds 2"):
        train_folds(tmp_path, lambda: planned, 3, RunOptions(resume=True))


def test_folds_are_not_resumed_as_one_run_nor_the_reverse(data, tmp_path):
    planned = plan_training(source_of(data), PlanSettings(steps=1, sizes=(2, 4)))
    recipe, plan = plan_folds(planned, 2)
    plan.save(tmp_path / "a/folds/plan.json")
    for _ in range(2):  # before the best fold was copied to the top, and after
        with pytest.raises(InputError, match="with 2 folds: go on with --folds 2 --resume"):
            train_bundle(tmp_path / "a", lambda: (recipe, plan), RunOptions(resume=True))
        assert not (tmp_path / "a/runs").exists()
        plan.save(tmp_path / "a/configs/plan.json")
    plan.save(tmp_path / "b/configs/plan.json")
    with pytest.raises(InputError, match="begun without --folds: go on without"):
        train_folds(tmp_path / "b", lambda: planned, 2, RunOptions(resume=True))


def test_a_run_that_was_stopped_before_its_plan_was_written_starts_again(data, tmp_path):
    planned = plan_training(source_of(data), PlanSettings(steps=1, sizes=(2, 4)))
    plan_folds(planned, 2)[0].save(tmp_path / "folds/recipe.json")
    with pytest.raises(InputError, match="need at least 2 folds"):  # it comes to dealing them out
        train_folds(tmp_path, lambda: planned, 3, RunOptions(resume=True))
    with pytest.raises(OutputError, match="exists"):
        train_folds(tmp_path, lambda: planned, 3, RunOptions())


class Deadly(str):
    """Ends the process that unpickles it, as a killed or crashed one ends."""

    __slots__ = ()

    def __reduce__(self):
        return os._exit, (9,)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (RunOptions(command_line=Deadly("train")), "the process that did the work died"),
        (RunOptions(), r"images/p\d_\d.nii.gz"),
    ],
    ids=["death", "error"],
)
def test_a_fold_that_cannot_be_trained_is_named(data, tmp_path, options, problem):
    shutil.copytree(data, tmp_path / "data")
    planned = plan_training(source_of(tmp_path / "data"), PlanSettings(steps=1, sizes=(2, 4)))
    shutil.rmtree(tmp_path / "data/images")
    said = f"^fold 0 could not be trained: .*{problem}.*; mend that and go on with --resume$"
    with pytest.raises(UnetMedError, match=said):
        train_folds(tmp_path / "out", lambda: planned, 2, options)


@pytest.mark.slow
def test_the_command_cross_validates_and_goes_on_where_it_stopped(data, tmp_path, capsys):
    out = tmp_path / "out"
    folders = ["--images", str(data / "images"), "--labels", str(data / "labels")]
    how = ["--steps", "60", "--sizes", "4,8", "--threads", "1", "--folds", "2", "--json"]
    assert main(["train", *folders, "--output", str(out), *how]) == 0
    content = json.loads(capsys.readouterr().out)
    with (out / SCORES / "cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == ["p0_0", "p0_1", "p1_0", "p1_1"]
    assert content["out_of_fold_mean_volume_dice"] > 0.5
    plans = [TrainingPlan.load(out / "folds" / n / "configs/plan.json") for n in "01"]
    assert {case.patient for case in plans[0].validation_cases} != {
        case.patient for case in plans[1].validation_cases
    }
    recipe = Recipe.load(out / "configs/recipe.json")
    # Lose the second fold's end, as a run that was killed would.
    broken = out / "folds/1/configs/recipe.json"
    replace(Recipe.load(broken), weights_sha256="").save(broken)
    again = ["train", "--output", str(out), "--folds", "2", "--resume", "--json"]
    assert main(again) == 0
    assert json.loads(capsys.readouterr().out) == content
    assert Recipe.load(out / "configs/recipe.json") == recipe
    # The same between its weights and its export.
    whole = Recipe.load(broken)
    replace(whole, precisions=()).save(broken)
    shutil.rmtree(out / "folds/1/models/openvino")
    assert main(again) == 0
    assert json.loads(capsys.readouterr().out) == content
    assert Recipe.load(broken).precisions
    assert not export_problem(out / "folds/1/models/model.pt")
