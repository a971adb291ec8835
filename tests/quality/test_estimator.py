"""Quality of a case, built slice by slice from logits that are known."""

import json
from dataclasses import replace

import numpy as np
import pytest

from unet_med.geometry import Geometry, slice_layout, slice_position_mm
from unet_med.inference import labels_from_logits
from unet_med.quality import REVIEW_BELOW, QualityEstimator
from unet_med.recipe import Channel, NetworkRecipe, Recipe

RECIPE = Recipe("tiny", NetworkRecipe(1, 3, (2, 4)), (Channel("T1"),), {5: "liver", 2: "spleen"})
FLIPPED = np.array([[-1.0, 0, 0, 5], [0, 1.5, 0, -7], [0, 0, -3, 2], [0, 0, 0, 1]])


def make_logits(n=9, *, sure=8.0, unsure=(), missing=()):
    """One square of the liver in every slice, and a small spleen at the border in slice 1."""
    logits = np.zeros((n, 3, 10, 12), np.float32)
    logits[:, 0] = sure
    logits[:, 1, 2:8, 3:9] = 2 * sure
    logits[1:2, 2, 0, :3] = 3 * sure
    for index in unsure:
        logits[index] /= 16 * sure
    for index in missing:
        logits[index, 1] = 0
    return logits


def estimate(logits, *, batch=4, recipe=RECIPE, affine=FLIPPED):
    geometry = Geometry((12, 10, len(logits)), affine)
    estimator = QualityEstimator(recipe, geometry, slice_layout(geometry, "axial").in_file_order())
    labels = labels_from_logits(logits, tuple(recipe.labels), activation="softmax")
    for start in range(0, len(logits), batch):
        part = slice(start, start + batch)
        estimator.add(start, logits[part], labels[part])
    return estimator.quality()


def test_a_sure_and_steady_label_is_not_doubted():
    quality = estimate(make_logits())
    liver, spleen = quality.labels
    assert (quality.score[:, 0] > 0.99).all()
    assert (liver.label, liver.name, liver.components, liver.largest_component) == (
        5,
        "liver",
        1,
        1,
    )
    assert liver.score == pytest.approx(1, abs=0.01)
    assert liver.touches_border == ("first slice", "last slice")
    assert spleen.touches_border == ("first column", "first row")
    assert np.isnan(quality.score[0, 1])
    assert quality.area_mm2[0, 0] == 36 * 1.5
    # The spleen has no neighbor, of which at a distance of 3 mm one third counts.
    assert quality.score[1, 1] == pytest.approx((2 / 3) ** (1 / 7), abs=0.01)
    assert quality.review == ()


def test_unsure_and_missing_slices_are_listed_worst_first_with_reasons():
    quality = estimate(make_logits(unsure=[6], missing=[3]))
    flags = [flag for flag in quality.review if flag.label == 5]
    assert [flag.slice for flag in flags] == [3, 6]
    assert flags[0].reasons == ("missing here, but present in slices 2 and 4",)
    assert flags[0].score == 0
    assert "the network is unsure" in " ".join(flags[1].reasons)
    assert quality.labels[0].slices_flagged == 2
    geometry = Geometry((12, 10, 9), FLIPPED)
    assert flags[0].position_mm == slice_position_mm(geometry, 3, axis=2)
    assert list(quality.position_mm) == [slice_position_mm(geometry, k, axis=2) for k in range(9)]


@pytest.mark.parametrize("batch", [1, 2, 9])
def test_the_batch_changes_nothing(batch):
    logits = make_logits(unsure=[2, 7], missing=[4])
    assert estimate(logits, batch=batch).as_dict() == estimate(logits).as_dict()


@pytest.mark.parametrize("block", [1, 36, 150, 400])
def test_large_slices_are_taken_by_rows_and_nothing_changes(monkeypatch, block):
    logits = make_logits(unsure=[2, 7], missing=[4])
    logits += np.random.default_rng(0).normal(0, 2, logits.shape).astype(np.float32)
    whole = estimate(logits).as_dict()
    monkeypatch.setattr("unet_med.quality.estimator._BLOCK", block)
    assert estimate(logits).as_dict() == whole


def test_the_recipe_decides_what_is_listed():
    logits = make_logits(unsure=[6])
    assert estimate(logits).review_below == REVIEW_BELOW
    assert estimate(logits, recipe=replace(RECIPE, review_below=0.0)).review == ()
    everything = estimate(logits, recipe=replace(RECIPE, review_below=1.0))
    assert len([flag for flag in everything.review if flag.label == 5]) == 9


def test_a_temperature_lowers_what_is_expected():
    logits = make_logits(sure=2.0)
    warm = estimate(logits, recipe=replace(RECIPE, temperature=3.0))
    cold = estimate(logits)
    assert (warm.expected_dice[:, 0] < cold.expected_dice[:, 0]).all()
    assert (warm.area_mm2 == cold.area_mm2).all()
    assert warm.temperature == 3.0


def test_thick_slices_may_differ_more():
    logits = make_logits()
    logits[4, 1, 2:8, 3:6] = 0  # half of the liver is gone
    thick, thin = estimate(logits), estimate(logits, affine=np.diag([1.0, 1.5, 1.0, 1.0]))
    assert thick.neighbor_dice[4, 0] == thin.neighbor_dice[4, 0]
    assert thick.score[4, 0] > thin.score[4, 0]


def test_empty_labels_and_one_slice_give_valid_json():
    for logits in (make_logits(1), np.zeros((3, 3, 10, 12), np.float32)):
        content = json.loads(json.dumps(estimate(logits).as_dict(), allow_nan=False))
        assert len(content["slices"]["position_mm"]) == len(logits)
        assert set(content["slices"]["labels"]) == {"5", "2"}
    assert content["labels"][0]["score"] is None
    assert content["review"] == []
