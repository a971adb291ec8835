from __future__ import annotations

import numpy as np
import pytest

from unet_med.geometry import Geometry
from unet_med.recipe import Channel, Fingerprint, NetworkRecipe, Recipe
from unet_med.training.cross_validation.postprocessing import (
    PostprocessingSearch,
    choose_rules,
    dice,
)

GRID = Geometry((14, 12, 9), np.diag([1.0, 2.0, 3.0, 1.0]))


def recipe_of(volumes=None):
    return Recipe(
        name="x",
        network=NetworkRecipe(1, 3, (4, 8)),
        channels=(Channel("CT", "CT"),),
        labels={2: "organ", 5: "spot"},
        fingerprint=Fingerprint(volumes_ml=volumes or {}),
    )


def truth(shift=0):
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2 + shift : 8 + shift, 2:8, 2:7] = 2
    labels[11, 9:11, 2:4] = 5
    labels[11, 2:4, 6:8] = 5
    return labels


def trial_of(change, *, n=4, volumes=None):
    trial = PostprocessingSearch(recipe_of(volumes))
    for number in range(n):
        reference = truth(number % 2)
        trial.add(change(reference.copy(), number), reference, GRID)
    return trial


def with_stray(labels, number):
    labels[0, 0, number % 3] = 2
    labels[1, 0, number % 3] = 2
    return labels


def with_hole(labels, _number):
    labels[4:6, 4:6, 4] = 0
    return labels


def test_the_largest_component_is_kept_where_there_are_strays():
    trial = trial_of(with_stray)
    chosen = trial.choose()
    assert list(chosen) == [2]
    assert chosen[2].rule.largest_component
    assert (chosen[2].better, chosen[2].worse) == (4, 0)
    before = dice(with_stray(truth(), 0) == 2, truth() == 2)
    assert chosen[2].gain == pytest.approx(1 - before)
    assert "largest component kept" in chosen[2].text("organ")


def test_holes_are_filled_where_there_are_holes():
    chosen = trial_of(with_hole).choose()
    assert choose_rules(chosen)["2"].fill_holes
    assert "5" not in choose_rules(chosen)


def test_a_label_of_two_parts_is_not_reduced_to_one():
    def change(labels, number):
        labels = with_stray(labels, number)
        labels[0, 11, 0] = 5
        return labels

    chosen = trial_of(change, volumes={"spot": (0.2, 1.0)}).choose()
    assert chosen[5].rule.min_component_ml == pytest.approx(0.01)
    assert not chosen[5].rule.largest_component


def test_what_helps_as_often_as_it_hurts_is_left_alone():
    def change(labels, number):
        if number % 2:
            return with_stray(labels, number)
        labels[5] = 0  # the truth's parts are two now, and the smaller one is right
        return labels

    assert 2 not in trial_of(change).choose()


def test_two_cases_are_too_few_to_choose_from():
    assert trial_of(with_stray, n=2).choose() == {}


def test_a_label_removed_where_there_is_none_counts_as_right():
    trial = PostprocessingSearch(recipe_of({"organ": (2.0, 3.0)}))
    for number in range(4):
        reference = np.zeros(GRID.shape, np.uint8) if number < 2 else truth()
        predicted = with_stray(reference.copy(), number)
        trial.add(predicted, reference, GRID)
    chosen = trial.choose()[2]
    assert chosen.rule.min_component_ml == pytest.approx(0.1)
    assert chosen.better == 4


def test_nothing_to_change_changes_nothing():
    assert trial_of(lambda labels, _: labels).choose() == {}
    empty = np.zeros((2, 2, 2), bool)
    assert np.isnan(dice(empty, empty))
