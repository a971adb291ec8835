"""The command that trains the sample weights: the general trainer on synthetic heads."""

from __future__ import annotations

import json

import pytest

from sample_data.train_heads import main
from tests.training.bundles import make_recipe, write_cases
from unet_med.recipe import Recipe
from unet_med.training import TrainingPlan


@pytest.fixture
def arguments(tmp_path):
    write_cases(tmp_path / "data", ["a"])
    make_recipe(weights_sha256="0" * 64).save(tmp_path / "recipe.json")
    (tmp_path / "plan.json").write_text(json.dumps({"batch_size": 4, "balance": 0.0}))
    folders = [f"--{kind}={tmp_path / 'data' / kind}" for kind in ("images", "labels")]
    files = [f"--{kind}={tmp_path / kind}.json" for kind in ("recipe", "plan")]
    return [*folders, *files, "--steps=1", "--threads=1", f"--output={tmp_path / 'b'}"]


def test_a_bundle_is_trained_on_synthetic_heads(arguments, tmp_path, capsys):
    assert main(arguments) == 0
    assert "no case was held out" in capsys.readouterr().out
    plan = TrainingPlan.load(tmp_path / "b/configs/plan.json")
    assert (plan.patch_size, plan.validation, plan.batch_size) == ((160, 160), (), 4)
    assert plan.mirror_axes == ("left-right",)
    made = Recipe.load(tmp_path / "b/configs/recipe.json")
    assert made.network == make_recipe().network
    assert made.weights_sha256 != "0" * 64
    card = (tmp_path / "b/docs/model_card.md").read_text()
    assert "python -m sample_data.train_heads" in card
    assert not (tmp_path / "b/runs/train/cache").exists()  # no slice of the scans was prepared
    assert main(arguments) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
