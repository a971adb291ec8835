"""What label values ask of each output."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.bundles import make_recipe
from unet_med.errors import LabelError
from unet_med.recipe import NetworkRecipe
from unet_med.training import TargetEncoding, TrainingCase, TrainingPlan
from unet_med.training.target_encoding import IGNORE_INDEX

CASE = (TrainingCase("a", ("a.nii",), "b.nii", "a"),)


def encoding_of(recipe=None, **plan):
    return TargetEncoding.from_recipe(recipe or make_recipe(), TrainingPlan(CASE, steps=1, **plan))


def test_values_with_gaps_in_the_order_of_the_channels():
    recipe = make_recipe(labels={7: "late", 1: "early", 300: "large"})
    encoding = encoding_of(recipe)
    labels = np.array([[0, 1, 7, 300, 5]])
    encoded = encoding.encode(labels, name="x")
    assert encoded.tolist() == [[0, 1, 2, 3, 0]]
    assert encoding.targets[encoded[0]].argmax(axis=1).tolist() == [0, 2, 1, 3, 0]
    assert (encoding.targets.sum(axis=1) == 1).all()
    assert encoding.to_labels(encoded).tolist() == [[0, 1, 7, 300, 0]]


def test_nested_regions_ask_several_channels_at_once():
    recipe = make_recipe(
        network=NetworkRecipe(1, 3, (4, 8)), activation="sigmoid",
        labels={1: "whole", 2: "core", 3: "enhancing"},
    )  # fmt: skip
    encoding = encoding_of(recipe, regions={1: (1, 2, 4), 2: (1, 4), 3: (4,)})
    encoded = encoding.encode(np.array([0, 1, 2, 4]), name="x")
    expected = [[0, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 1]]
    assert encoding.targets[encoded].tolist() == expected
    assert encoding.to_labels(encoded).tolist() == [0, 2, 1, 3]  # painted in the recipe's order


def test_one_output_with_the_notebooks_activation():
    recipe = make_recipe(network=NetworkRecipe(1, 1, (4, 8)), activation="sigmoid", labels={5: "x"})
    encoding = encoding_of(recipe)
    assert encoding.targets.tolist() == [[0.0], [1.0]]


def test_the_ignored_value_is_kept_apart():
    encoding = encoding_of(ignore_label=9)
    encoded = encoding.encode(np.array([0.0, 9.0, 2.0]), name="x")
    assert encoded.tolist() == [0, IGNORE_INDEX, 2]
    assert encoding.to_labels(encoded).tolist() == [0, 0, 2]


def test_an_ignored_label_is_refused():
    with pytest.raises(LabelError, match="ignore value 2"):
        encoding_of(ignore_label=2)
