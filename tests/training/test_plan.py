"""The training plan: strict, and the same after an epoch trip through JSON."""

from __future__ import annotations

import json

import pytest

from unet_med.errors import RecipeError
from unet_med.training.plan import OptimizerPlan, TrainingCase, TrainingPlan


def make_case(name="a", **options):
    return TrainingCase(name, (f"{name}_0000.nii.gz",), f"{name}.nii.gz", name, **options)


def make_plan(**options):
    values = {"cases": (make_case("a"), make_case("b", fold=1)), "minutes": 2.0} | options
    return TrainingPlan(**values)


def test_a_plan_survives_json(tmp_path):
    plan = make_plan(
        validation=("b",), patch_size=(96, 128), mirror_axes=("anterior-posterior",),
        ignore_label=255,
        regions={1: (1, 2, 4), 3: (4,)}, optimizer=OptimizerPlan("sgd", 0.01, 3e-5, "poly"),
        notes=("why",),
    )  # fmt: skip
    plan.save(tmp_path / "plan.json")
    assert TrainingPlan.load(tmp_path / "plan.json") == plan
    assert [case.id for case in plan.training_cases] == ["a"]
    assert [case.id for case in plan.validation_cases] == ["b"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"no_such": 1}, "no_such"),
        ({"batch_size": 0}, "batch"),
        ({"merge_validation_after": 1.0}, "merge_validation_after"),
        ({"batch_size": 2.5}, "batch"),
        ({"patch_size": [16]}, "patch_size"),
        ({"mirror_axes": ["rows"]}, "mirror"),
        ({"validation": ["c"]}, "'c'"),
        ({"validation": ["a", "b"]}, "nothing is left"),
        ({"epochs": 3}, "one of minutes"),
        ({"minutes": -1.0}, "above 0"),
        ({"seed": -1}, "seed"),
        ({"foreground_fraction": 1.5}, "foreground_fraction"),
        ({"optimizer": {"name": "adam"}}, "adamw"),
        ({"optimizer": {"learning_rate": -1.0}}, "learning_rate"),
        ({"cases": []}, "at least one case"),
        ({"schema_version": 99}, "newer unet_med"),
        ({"schema_version": 1}, "make it anew"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, said):
    content = make_plan().to_dict() | change
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with pytest.raises(RecipeError, match=said) as caught:
        TrainingPlan.load(tmp_path / "plan.json")
    assert "plan.json" in str(caught.value)


def test_equal_ids_are_refused():
    with pytest.raises(RecipeError, match="repeat"):
        make_plan(cases=(make_case("a"), make_case("a")))


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(RecipeError, match="unet-med plan"):
        TrainingPlan.load(tmp_path / "plan.json")
