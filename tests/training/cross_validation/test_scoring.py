"""Cross-validation with networks that are written instead of trained, so that it takes seconds."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

import unet_med
from tests.training.planning.made import box_case, checked_set
from unet_med.bundle.weights import save_weights
from unet_med.cases import DatasetInfo
from unet_med.evaluation import evaluate_case
from unet_med.networks import UNet2D
from unet_med.recipe import Recipe
from unet_med.training import TrainingPlan
from unet_med.training.bundle_files import write_bundle
from unet_med.training.cross_validation import cross_validate
from unet_med.training.cross_validation.scoring import SCORES, plan_of_fold
from unet_med.training.planning import PlanSettings, make_plan, split_into_folds, training_case


def planned(root, *, ignore=None, n=6):
    cases = []
    for seed in range(n):
        image, label, affine = box_case((16, 18, 5), (1, 1, 4), seed=seed)
        image[label == 1] += 600
        if ignore is not None:
            label[0] = ignore
        cases.append((image, label, affine))
    checked = checked_set(root, cases, info=DatasetInfo(ignore=ignore))
    recipe, plan = make_plan(checked, PlanSettings(steps=1, sizes=(2, 4), threads=1))
    folded = split_into_folds(checked.usable, 3)
    return recipe, replace(plan, cases=tuple(training_case(case) for case in folded), validation=())


def random_network(recipe):
    """A U-Net with random weights, the same each time."""
    torch.manual_seed(0)
    network = UNet2D(recipe.network.in_channels, recipe.network.out_channels, sizes=(2, 4))
    return network.eval()


def written(calls):
    def train(folder, recipe, plan):
        calls.append((folder.name, plan.validation))
        write_bundle(folder, recipe, plan)
        digest = save_weights(random_network(recipe), folder / "models/model.pt")
        stored = Recipe.load(folder / "configs/recipe.json")
        replace(stored, weights_sha256=digest).save(folder / "configs/recipe.json")

    return train


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    root = tmp_path_factory.mktemp("folds")
    recipe, plan = planned(root / "data")
    calls = []
    found = cross_validate(
        root / "out", recipe, plan, train=written(calls), command="unet-med train --folds 3"
    )
    return root / "out", recipe, plan, calls, found


def test_every_case_is_held_out_exactly_once(result):
    _, _, plan, calls, _ = result
    assert [name for name, _ in calls] == ["0", "1", "2"]
    held = [case for _, validation in calls for case in validation]
    assert sorted(held) == sorted(case.id for case in plan.cases)


def test_every_case_is_scored_by_the_fold_that_has_not_seen_it(result):
    root, _, plan, _, found = result
    with (root / SCORES / "cases.csv").open() as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert sorted(rows) == sorted(case.id for case in plan.cases)
    for case in plan.cases:
        segmenter = unet_med.load(root / "folds" / str(case.fold))
        mask = segmenter.segment(case.images[0])
        stored = np.asarray(nib.load(root / SCORES / f"predictions/{case.id}.nii.gz").dataobj)
        np.testing.assert_array_equal(stored, mask.labels)
        mask.save(root / "again.nii.gz")
        scores = evaluate_case(root / "again.nii.gz", Path(case.label))
        tp, fp, fn = (int(part[0]) for part in scores.counts.sums())
        assert float(rows[case.id]["volume_dice"]) == pytest.approx(2 * tp / (2 * tp + fp + fn))
    every = [float(row["volume_dice"]) for row in rows.values()]
    assert found.mean_dice == pytest.approx(np.mean(every))


def test_all_bundles_agree_and_make_an_ensemble(result):
    root, _, plan, _, found = result
    recipes = [Recipe.load(path / "configs/recipe.json") for path in (root, *found.folds)]
    assert len({recipe.temperature for recipe in recipes}) == 1
    assert all(recipe.postprocessing == recipes[0].postprocessing for recipe in recipes)
    mask = unet_med.load(list(found.folds)).segment(plan.cases[0].images[0])
    assert mask.labels.shape == (16, 18, 5)
    assert unet_med.load(root).segment(plan.cases[0].images[0]).labels.shape == (16, 18, 5)
    assert not (root / "runs").exists()


def test_a_model_of_another_fold_does_not_stay_at_the_top(tmp_path):
    recipe, plan = planned(tmp_path / "data", n=3)
    (tmp_path / "out/models").mkdir(parents=True)
    (tmp_path / "out/models/model.onnx").write_bytes(b"of another fold")
    cross_validate(tmp_path / "out", recipe, plan, train=written([]))
    assert [path.name for path in (tmp_path / "out/models").iterdir()] == ["model.pt"]


def test_the_card_tells_how_the_scores_came_about(result):
    root, _, _, _, found = result
    card = (root / "docs/model_card.md").read_text()
    assert "6 cases of 6 patients: out-of-fold" in card
    assert "cross-validation with 3 folds by patient" in card
    assert "unet-med train --folds 3" in card
    content = json.loads((root / "configs/metadata.json").read_text())
    assert content["eval_metrics"]["kind"] == "out-of-fold"
    assert content["eval_metrics"]["mean_volume_dice"] == pytest.approx(found.mean_dice, abs=1e-4)
    assert "out-of-fold mean Dice" in found.summary()
    assert json.loads(json.dumps(found.as_dict()))["cases"] == 6


def test_ignored_voxels_count_for_nothing(tmp_path):
    recipe, plan = planned(tmp_path / "data", ignore=9, n=3)
    found = cross_validate(tmp_path / "out", recipe, plan, train=written([]))
    assert found.temperature == 1.0
    for case in plan.cases:
        for kind in ("predictions", "references"):
            stored = nib.load(tmp_path / "out" / SCORES / kind / f"{case.id}.nii.gz")
            assert not np.asarray(stored.dataobj)[0].any()


def test_the_plan_of_a_fold_holds_that_fold_out(tmp_path):
    _, plan = planned(tmp_path, n=3)
    one = plan_of_fold(plan, 1)
    assert one.validation == tuple(case.id for case in plan.cases if case.fold == 1)
    assert len(one.training_cases) == 2
    assert TrainingPlan.from_dict(one.to_dict()) == one
