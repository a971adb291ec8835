"""From folders to a recipe and a plan, by all interfaces."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest

import unet_med
from tests.cases.datasets import SHAPE, labels, save, scan, write_cases
from tests.training.planning.made import box_case
from unet_med.cases import DatasetInfo
from unet_med.cli import main
from unet_med.errors import InputError, RecipeError
from unet_med.recipe import Recipe
from unet_med.training import TrainingPlan
from unet_med.training.planning import PlanSettings, SourceData, plan_training


def thin_cases(root, n=4):
    """Scans of 1 mm with a label in the middle and one that is never to one side."""
    for seed in range(n):
        image, label, affine = box_case((26, 34, 18), (1, 1, 1), seed=seed)
        label[3 + 9 * (seed % 2) : 6 + 9 * (seed % 2), 3:6, 3:9] = 7
        save(root / f"images/p{seed}.nii.gz", image, affine)
        save(root / f"labels/p{seed}.nii.gz", label, affine)
    return SourceData(images=root / "images", labels=root / "labels")


def test_a_plan_is_whole_and_says_why(tmp_path):
    planned = plan_training(thin_cases(tmp_path), PlanSettings(minutes=3, name="mine"))
    recipe, plan = planned.recipe, planned.plan
    assert planned.exit_code == 0
    assert (recipe.name, recipe.labels) == ("mine", {1: "label 1", 7: "label 7"})
    assert recipe.network.in_channels == recipe.context.slices * len(recipe.channels) == 3
    assert recipe.network.out_channels == 3
    assert recipe.fingerprint.n_cases == 4
    assert plan.minutes == 3
    assert len(plan.validation) == 1
    assert plan.merge_validation_after == 0.75
    assert [case.id for case in plan.cases] == ["p0", "p1", "p2", "p3"]
    assert plan.cases[0].images == (str(tmp_path / "images/p0.nii.gz"),)
    text = "\n".join(plan.notes)
    for word in ("slices:", "spacing", "context", "MR", "softmax", "patches", "network", "batch",
                 "3D", "mirrored", "held out", "patient"):  # fmt: skip
        assert word in text


def test_the_plan_is_read_back_and_can_be_changed_field_by_field(tmp_path):
    source = thin_cases(tmp_path)
    first = unet_med.plan(source.images, source.labels, steps=5, output=tmp_path / "bundle")
    assert Recipe.load(tmp_path / "bundle/configs/recipe.json") == first.recipe
    assert TrainingPlan.load(tmp_path / "bundle/configs/plan.json") == first.plan
    (tmp_path / "r.json").write_text('{"context": {"slices": 1}, "network": {"in_channels": 1}}')
    (tmp_path / "p.json").write_text('{"batch_size": 3, "optimizer": {"name": "sgd"}}')
    files = {"recipe_file": tmp_path / "r.json", "plan_file": tmp_path / "p.json"}
    changed = plan_training(
        SourceData(images=source.images, labels=source.labels, **files), PlanSettings(steps=5)
    )
    assert (changed.recipe.context.slices, changed.recipe.network.in_channels) == (1, 1)
    assert changed.recipe.network.sizes == first.recipe.network.sizes
    assert (changed.plan.batch_size, changed.plan.optimizer.name) == (3, "sgd")
    assert changed.plan.optimizer.learning_rate == first.plan.optimizer.learning_rate
    (tmp_path / "p.json").write_text('{"bacth": 3}')
    with pytest.raises(RecipeError, match="bacth"):
        plan_training(
            SourceData(images=source.images, labels=source.labels, **files), PlanSettings()
        )


def test_errors_leave_no_plan_and_bad_cases_can_be_left_out(tmp_path):
    source = thin_cases(tmp_path)
    (tmp_path / "images/p1.nii.gz").write_bytes(b"broken")
    planned = unet_med.plan(source.images, source.labels, output=tmp_path / "bundle")
    assert (planned.plan, planned.recipe, planned.exit_code) == (None, None, 2)
    assert not (tmp_path / "bundle").exists()
    with pytest.raises(InputError, match="no plan"):
        planned.save(tmp_path / "bundle")
    kept = plan_training(
        SourceData(images=source.images, labels=source.labels, skip_bad=True), PlanSettings(steps=1)
    )
    assert [case.id for case in kept.plan.cases] == ["p0", "p2", "p3"]
    assert any("left out: p1" in issue.text for issue in kept.checked.issues)


def test_nothing_left_after_leaving_out_is_an_error(tmp_path):
    source = thin_cases(tmp_path, n=1)
    (tmp_path / "images/p0.nii.gz").write_bytes(b"broken")
    kept = plan_training(
        SourceData(images=source.images, labels=source.labels, skip_bad=True), PlanSettings()
    )
    assert kept.exit_code == 2
    assert kept.checked.errors[0].kind == "no_cases"
    image, label, affine = box_case((26, 34, 18), (1, 1, 1))
    save(tmp_path / "images/p0.nii.gz", 0 * image, affine)
    save(tmp_path / "images/p1.nii.gz", image, affine)
    save(tmp_path / "labels/p1.nii.gz", 0 * label, affine)
    kept = plan_training(
        SourceData(images=source.images, labels=source.labels, skip_bad=True), PlanSettings()
    )
    assert kept.exit_code == 2
    assert kept.checked.errors[0].kind == "no_foreground"


def test_regions_and_what_to_ignore_reach_recipe_and_plan(tmp_path):
    write_cases(tmp_path, 3, values=(1, 2, 255))
    info = DatasetInfo(regions={"whole": (1, 2), "core": (2,)}, ignore=255)
    source = SourceData(images=tmp_path / "images", labels=tmp_path / "labels", info=info)
    planned = plan_training(source, PlanSettings(steps=1))
    assert planned.recipe.labels == {1: "whole", 2: "core"}
    assert planned.recipe.activation == "sigmoid"
    assert planned.plan.regions == {1: (1, 2), 2: (2,)}
    assert planned.plan.ignore_label == 255
    assert list(planned.recipe.labels) == [1, 2]


def test_several_channels_and_a_4d_file_are_planned_alike(tmp_path):
    for seed in range(3):
        parts = [scan(seed), scan(seed + 7)]
        for number, part in enumerate(parts):
            save(tmp_path / f"a/images/k{seed}_{number:04d}.nii.gz", part)
        save(tmp_path / f"b/images/k{seed}.nii.gz", np.stack(parts, axis=-1))
        for root in ("a", "b"):
            save(tmp_path / root / f"labels/k{seed}.nii.gz", labels(seed, values=(1, 2)))
    info = DatasetInfo(channels=("T1", "T2"))
    recipes = [
        plan_training(
            SourceData(images=tmp_path / r / "images", labels=tmp_path / r / "labels", info=info),
            PlanSettings(steps=1),
        ).recipe
        for r in ("a", "b")
    ]
    assert recipes[0] == recipes[1]
    assert [channel.name for channel in recipes[0].channels] == ["T1", "T2"]


def test_one_case_is_planned_and_nothing_is_held_out(tmp_path):
    planned = plan_training(thin_cases(tmp_path, n=1), PlanSettings(steps=1))
    assert planned.plan.validation == ()
    assert any("with 1 patient all are needed" in note for note in planned.plan.notes)


@pytest.mark.parametrize(
    "wrong",
    [
        {"minutes": 1, "epochs": 2}, {"minutes": 0}, {"memory_gb": 0}, {"val_fraction": 1},
        {"spacing_mm": 0}, {"spacing_mm": math.inf}, {"minutes": math.inf}, {"seed": -1},
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InputError):
        PlanSettings(**wrong)


def run(*args):
    return main(["plan", *map(str, args)])


def test_the_command_prints_tables_and_writes_the_plan(tmp_path, capsys):
    thin_cases(tmp_path)
    folders = ("--images", tmp_path / "images", "--labels", tmp_path / "labels")
    out = tmp_path / "made"
    assert run(*folders, "--epochs", 2, "--output", out, "--mirror", "none") == 0
    printed = capsys.readouterr().out
    for text in (
        "4 cases: one file per case; its label has the same name", "26 × 34 × 18",
        "values are 1, 7, not 1 to 2", "mirrored along no axis, as asked", "written to",
    ):  # fmt: skip
        assert text in printed
    assert Recipe.load(out / "configs/recipe.json").name == "made"
    plan = TrainingPlan.load(out / "configs/plan.json")
    assert (plan.epochs, plan.mirror_axes) == (2, ())
    assert run(*folders, "--steps", 1, "--output", tmp_path / "all.json", "--json") == 0
    printed = capsys.readouterr().out
    assert printed.isascii()  # so that it is JSON in any terminal and log
    content = json.loads(printed)
    assert content == json.loads((tmp_path / "all.json").read_text())
    assert content["ok"]
    assert [case["id"] for case in content["data"]["cases"]] == ["p0", "p1", "p2", "p3"]
    assert content["data"]["labels"]["7"]["n_cases"] == 4


def test_the_command_measures_a_step_when_there_is_a_time(tmp_path, capsys):
    thin_cases(tmp_path)
    folders = ("--images", tmp_path / "images", "--labels", tmp_path / "labels")
    assert run(*folders, "--minutes", 0.2, "--threads", 1) == 0
    assert "s a step" in capsys.readouterr().out


def test_errors_are_exit_code_2(tmp_path, capsys):
    write_cases(tmp_path, 2)
    (tmp_path / "labels/case1.nii.gz").rename(tmp_path / "labels/cse1.nii.gz")
    folders = ("--images", tmp_path / "images", "--labels", tmp_path / "labels")
    assert run(*folders) == 2
    printed = capsys.readouterr().out
    assert "error: scan case1 has no label map; did you mean cse1?" in printed
    assert "2 errors: training cannot start" in printed
    assert run(*folders, "--json") == 2
    content = json.loads(capsys.readouterr().out)
    assert (content["ok"], content["plan"]) == (False, None)
    assert {issue["kind"] for issue in content["data"]["issues"]} >= {"unpaired"}
    assert run("--datalist", tmp_path / "none.csv") == 2
    assert "is no file" in capsys.readouterr().err
    assert run(*folders, "--sizes", "16,30") == 2
    assert run(*folders, "--mirror", "up") == 2


def test_options_of_the_data_reach_the_check(tmp_path, capsys):
    write_cases(tmp_path, 3, values=(1, 4, 255))
    folders = ("--images", tmp_path / "images", "--labels", tmp_path / "labels")
    options = ("--label-names", "1=liver,4=spleen", "--ignore", 255, "--channels", "CT")
    assert run(*folders, *options, "--steps", 1, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["recipe"]["labels"] == {"1": "liver", "4": "spleen"}
    assert content["plan"]["ignore_label"] == 255
    assert content["recipe"]["channels"][0]["name"] == "CT"
    assert content["data"]["cases"][0]["shape"] == list(SHAPE)


def test_a_check_that_fails_loads_no_torch(tmp_path):
    write_cases(tmp_path, 2)
    (tmp_path / "images/case0.nii.gz").write_bytes(b"")
    code = (
        "import sys; from unet_med.cli import main;"
        f"code = main(['plan', '--images', {str(tmp_path / 'images')!r}, '--labels',"
        f" {str(tmp_path / 'labels')!r}]);"
        "assert code == 2; assert not {'torch', 'monai'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
