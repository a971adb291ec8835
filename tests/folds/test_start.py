"""The command trains each fold by itself; what cannot be shared out is refused first."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest

from tests.dataset.made import save
from tests.planning.made import box_case
from unet_med.cli import main
from unet_med.errors import InputError
from unet_med.folds import plan_folds
from unet_med.folds.run import SCORES
from unet_med.planning import PlanSettings, Source, plan_training
from unet_med.recipe import Recipe
from unet_med.training import TrainingPlan


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
    return Source(images=data / "images", labels=data / "labels")


def test_the_time_is_shared_out_and_patients_stay_together(data):
    planned = plan_training(source_of(data), PlanSettings(minutes=10, sizes=(2, 4)))
    _, plan = plan_folds(planned, 2)
    assert plan.minutes == pytest.approx(4.5)
    assert (plan.validation, plan.join_after) == ((), None)
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
