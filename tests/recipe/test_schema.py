from __future__ import annotations

import json

import pytest

from unet_med.errors import RecipeError
from unet_med.preprocessing import Context, Normalization
from unet_med.recipe import (
    Channel,
    Fingerprint,
    NetworkRecipe,
    PostprocessingRule,
    Recipe,
    VerifiedPrecision,
    parse_tta,
    rules_by_value,
)
from unet_med.recipe.sliding_window import SlidingWindow

FILLED = {"fill_holes": True}


def make_recipe(**changes):
    arguments = {
        "name": "two-organs",
        "network": NetworkRecipe(6, 3, (4, 8)),
        "channels": (
            Channel("t1", "MR", Normalization("zscore", "above_mean", -5.0, 5.0)),
            Channel("ct", "CT", Normalization("fixed", low=-100.0, high=300.0, mean=0.0, std=50.0)),
        ),
        "labels": {7: "spleen", 300: "liver"},
        "slice_axis": "thickest",
        "in_plane_spacing_mm": 0.8,
        "context": Context(3, 2.5),
        "window": SlidingWindow((64, 96), 0.25, 10_000),
        "fingerprint": Fingerprint(3, (1.0, 5.0), volumes_ml={"liver": (900.0, 2000.0)}),
        "precisions": (VerifiedPrecision("torch", "bf16", verified=True, agreement=0.999),),
        "weights_sha256": "ab" * 32,
        "tta": ("left-right",),
        "postprocessing": {"300": PostprocessingRule(2.5, connectivity="faces")},
    }
    return Recipe(**{**arguments, **changes})


def as_json(recipe):
    return json.loads(json.dumps(recipe.to_dict()))


def test_json_round_trip(tmp_path):
    recipe = make_recipe()
    recipe.save(tmp_path / "recipe.json")
    assert Recipe.load(tmp_path / "recipe.json") == recipe
    assert list(Recipe.load(tmp_path / "recipe.json").labels) == [7, 300]


def test_defaults_fill_what_is_not_said():
    content = {
        "name": "small",
        "network": {"out_channels": 1, "sizes": [4, 8]},
        "channels": [{"name": "t1"}],
        "labels": {"1": "brain"},
    }
    recipe = Recipe.from_dict(content)
    assert recipe.in_plane_spacing_mm is None
    assert recipe.context.offsets(1.0) == (0,)
    assert recipe.network.multiple == 4


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"color": 1}, "unknown keys"),
        ({"temperature": "hot"}, "must be float"),
        ({"temperature": True}, "must be float"),
        ({"temperature": 0.0}, "temperature must be > 0"),
        ({"in_plane_spacing_mm": -1.0}, "in_plane_spacing_mm"),
        ({"slice_axis": "diagonal"}, "must be one of"),
        ({"activation": "relu"}, "must be one of"),
        ({"labels": {"1": "a"}}, "do not fit"),
        ({"labels": {"0": "a", "1": "b"}}, "0 is background"),
        ({"labels": {"one": "a", "2": "b"}}, "whole numbers"),
        ({"labels": ["a", "b"]}, "must be an object"),
        ({"channels": []}, "in_channels"),
        ({"context": {"slices": 2, "reach_mm": 1}}, "odd number"),
        ({"network": {"in_channels": 6, "out_channels": 3, "sizes": [4, 9]}}, "double"),
        ({"network": {"in_channels": 6, "out_channels": 3, "sizes": []}}, "double"),
        ({"window": {"size": [64]}}, "2 entries"),
        ({"tta": ["sideways"]}, "must be one of"),
        ({"tta": "left-right"}, "must be a list"),
        ({"tta": ["left-right", "left-right"]}, "twice"),
        ({"slice_axis": "axial", "tta": ["inferior-superior"]}, "through-plane"),
        ({"postprocessing": {"7": {"largest": True}}}, "unknown keys"),
        ({"postprocessing": {"7": {}}}, "must do something"),
        ({"postprocessing": {"7": {"min_component_ml": 0}}}, "must be > 0"),
        ({"postprocessing": {"7": {"min_component_ml": True}}}, "must be float"),
        ({"postprocessing": {"7": {"fill_holes": 1}}}, "must be bool"),
        ({"postprocessing": {"7": {"fill_holes": True, "connectivity": "6"}}}, "must be one of"),
        ({"postprocessing": {"8": {"fill_holes": True}}}, "fits no label"),
        ({"postprocessing": {"7": FILLED, "spleen": FILLED}}, "label 7 twice"),
        (
            {"labels": {"7": "spleen", "8": "spleen"}, "postprocessing": {"spleen": FILLED}},
            "fits 2 labels",
        ),
        ({"schema_version": 99}, "newer unet_med"),
        ({"schema_version": 1}, "schema version 1, this program reads 2"),
    ],
)
def test_what_is_wrong_is_named(change, text):
    with pytest.raises(RecipeError, match=text):
        Recipe.from_dict({**as_json(make_recipe()), **change})


@pytest.mark.parametrize("text", ["", "[]", "{", '{"name": NaN}', "null", "[" * 100_000])
def test_files_that_are_no_recipe_are_refused(tmp_path, text):
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(RecipeError, match="recipe"):
        Recipe.load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="cannot read"):
        Recipe.load(tmp_path / "recipe.json")


def test_missing_keys_are_named():
    content = as_json(make_recipe())
    del content["network"]
    with pytest.raises(RecipeError, match="network"):
        Recipe.from_dict(content)


def test_rules_are_found_by_value_and_by_name():
    rules = {
        "liver": PostprocessingRule(fill_holes=True),
        "7": PostprocessingRule(largest_component=True),
    }
    recipe = make_recipe(postprocessing=rules)
    assert rules_by_value(recipe.postprocessing, recipe.labels) == {
        7: rules["7"],
        300: rules["liver"],
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("recipe", ("left-right",)),
        ("none", ()),
        (
            "anterior-posterior, left-right",
            ("anterior-posterior", "left-right"),
        ),
    ],
)
def test_tta_axes_as_asked_for(text, expected):
    assert parse_tta(text, ("left-right",)) == expected


def test_an_unknown_tta_axis_is_refused():
    with pytest.raises(RecipeError, match="up-down"):
        parse_tta("left-right,up-down", ())
