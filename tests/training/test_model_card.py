from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from unet_med.recipe import Channel, Fingerprint, NetworkRecipe, Recipe
from unet_med.training import TrainingCase, TrainingPlan
from unet_med.training.model_card import CARD, CardFacts, metrics_of, model_card, write_card
from unet_med.training.model_card_sections import label_scores

RECIPE = Recipe(
    name="liver|x",
    network=NetworkRecipe(1, 3, (4, 8)),
    channels=(Channel("CT", "CT"),),
    labels={1: "liver", 4: "spleen"},
    fingerprint=Fingerprint(
        n_cases=4, slice_spacing_mm=(3.0, 5.0), in_plane_spacing_mm=(0.7, 0.7),
        volumes_ml={"liver": (900.0, 2000.0)},
    ),
)  # fmt: skip
PLAN = TrainingPlan(
    tuple(TrainingCase(f"c{n}", (f"{n}.nii",), f"{n}_l.nii", f"p{n // 2}") for n in range(6)),
    validation=("c4", "c5"),
    steps=10,
    notes=("slices: axial",),
)
SCORES = {
    "c0": {"liver": 0.9, "spleen": None},
    "c1": {"liver": 0.7, "spleen": 0.5},
    "c2": {"liver": 0.6, "spleen": 0.7},
}


def test_a_patient_counts_once_however_many_scans():
    found = label_scores(SCORES, PLAN)
    assert found["liver"].mean == pytest.approx((0.8 + 0.6) / 2)
    assert found["liver"].n_patients == 2
    assert found["liver"].lowest == 0.6
    low, high = found["liver"].interval
    assert low == pytest.approx(0.6)
    assert high == pytest.approx(0.8)
    assert found["spleen"].mean == pytest.approx(0.6)


def test_what_was_not_scored_has_no_figure():
    found = label_scores({"c0": {"liver": None}, "c2": {"liver": None}}, PLAN)["liver"]
    assert (found.n_patients, found.mean, found.interval) == (0, None, None)
    single = label_scores({"c0": {"liver": 0.5}}, PLAN)["liver"]
    assert (single.mean, single.interval) == (0.5, None)


def test_the_card_states_the_facts():
    facts = CardFacts(SCORES, kind="out-of-fold", command="unet-med train --images a")
    card = model_card(RECIPE, PLAN, facts)
    for text in (
        "1 liver, 4 spleen", "6 of 3 patients", "4 cases", "c4, c5", "3 to 5 mm", "0.7 mm",
        "900 to 2000 ml", "3 cases of 2 patients: out-of", "| liver | 0.700 | 0.600 to 0.800 |",
        "first impression", "slices: axial", "10 steps", "unet-med train --images a",
        "no medical device", "not stated", "slices not 3 to 5 mm apart", "anything but CT",
    ):  # fmt: skip
        assert text in card, text


def test_one_case_is_one_case():
    card = model_card(RECIPE, PLAN, CardFacts({"c4": {"liver": 0.8}}))
    assert "Volume Dice on 1 case of 1 patient: held out" in card


def test_without_scores_the_card_says_that_nobody_knows():
    card = model_card(RECIPE, PLAN, CardFacts())
    assert "Nobody knows: c4, c5 could not be scored" in card
    assert "It has not seen them" in card
    card = model_card(RECIPE, PLAN, CardFacts(kind="held-out, then merged"))
    assert "trained on in the end" in card
    card = model_card(RECIPE, replace(PLAN, validation=()), CardFacts())
    assert "Nobody knows: no case was held out" in card
    assert "0." not in card.split("## How well")[1].split("## Where")[0]
    assert metrics_of(PLAN, CardFacts()) == {}


def test_the_card_says_that_the_last_weights_saw_the_cases_held_out():
    card = model_card(RECIPE, PLAN, CardFacts(SCORES, kind="held-out, then merged"))
    assert "| trained on | 6 cases |" in card
    assert "held out until the last part of the run | c4, c5" in card
    assert "not of the weights in this bundle" in card


def test_the_card_and_the_metadata_are_written_together(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/metadata.json").write_text('{"name": "x", "eval_metrics": {}}')
    facts = CardFacts(SCORES, command="unet-med train", license="CC-BY-4.0")
    write_card(tmp_path, RECIPE, PLAN, facts)
    content = json.loads((tmp_path / "configs/metadata.json").read_text())
    assert content["name"] == "x"
    assert content["training_command"] == "unet-med train"
    measured = content["eval_metrics"]
    assert (measured["kind"], measured["n_cases"], measured["n_patients"]) == ("held-out", 3, 2)
    assert measured["mean_volume_dice"] == pytest.approx(np.mean([0.7, 0.6]))
    assert measured["volume_dice"]["liver"]["ci95"] == [0.6, 0.8]
    assert "CC-BY-4.0" in (tmp_path / CARD).read_text()
