"""Which slices are calibrated and measured on, and how a precision is verified."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.bundles import make_bundle
from tests.exports import write_scan
from unet_med.exporting.samples import Sample, Scan, iter_samples, network_inputs
from unet_med.exporting.verification import PrecisionComparison, pooled_dice
from unet_med.recipe import Channel, NetworkRecipe, Recipe
from unet_med.recipe.sliding_window import SlidingWindow
from unet_med.segmenter import load_segmenter


@pytest.fixture
def scan(tmp_path):
    return write_scan(tmp_path / "scans" / "scan.nii.gz", blank=3)


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "bundle")


def test_samples_are_what_the_network_sees_in_a_run(bundle, scan):
    """Recorded from a whole segmentation, the calibration slices are among its inputs."""
    segmenter = load_segmenter(bundle, backend="torch", threads=1)
    seen = []
    spied = replace(
        segmenter, predictor=lambda batch: seen.extend(batch.copy()) or segmenter.predictor(batch)
    )
    spied.segment(scan)
    inputs = network_inputs(iter_samples((Scan((scan,)),), spied.recipe, n_slices=4), 3)
    assert 2 <= len(inputs) <= 4
    for one in inputs:
        assert any(np.array_equal(one[0], other) for other in seen)


def test_windows_of_large_slices_are_what_is_calibrated_on(scan):
    recipe = Recipe(
        "windowed", NetworkRecipe(1, 2, (4, 8)), (Channel("t1"),), {1: "one"},
        window=SlidingWindow(size=(16, 16), max_pixels=300),
    )  # fmt: skip
    inputs = network_inputs(iter_samples((Scan((scan,)),), recipe, n_slices=1), 2)
    assert len(inputs) > 1
    assert {one.shape for one in inputs} == {(1, 1, 16, 16)}


def test_more_scans_than_slices_are_thinned_out(tmp_path):
    paths = [write_scan(tmp_path / f"{n}.nii.gz", seed=n) for n in range(5)]
    recipe = Recipe("r", NetworkRecipe(1, 2, (4, 8)), (Channel("t1"),), {1: "one"})
    samples = list(iter_samples([Scan((path,)) for path in paths], recipe, n_slices=2))
    assert len(samples) == 2


def comparison_of(logits, expected, reference=None):
    recipe = Recipe("r", NetworkRecipe(1, 3, (4, 8)), (Channel("t1"),), {1: "one", 2: "two"})
    comparison = PrecisionComparison(2)
    sample = Sample(np.zeros((1, 1, 1, 4), np.float32), None, reference)
    comparison.add(np.float32(logits), np.float32(expected), sample, recipe=recipe)
    return comparison.verified_precision(("openvino", "int8"), model_sha256="0" * 64)


ONE, TWO = [0, 1, 0], [0, 0, 1]


def planes(*pixels):
    return np.array(pixels, np.float32).T[None, :, None]


def test_the_worst_label_decides():
    result = comparison_of(planes(ONE, ONE, TWO, TWO), planes(ONE, ONE, TWO, ONE))
    assert result.voxels_changed == 0.25
    assert result.agreement == pytest.approx(2 / 3)  # label two; label one has 0.8
    assert not result.verified
    assert (result.max_logit_difference, result.mean_logit_difference) == (1, 2 / 12)


def test_a_loss_of_dice_refuses_what_agreement_would_pass():
    n = 1000
    expected = planes(*[ONE] * n, *[TWO] * n)
    logits = planes(*[ONE] * (n - 5), *[TWO] * (n + 5))
    labels = np.repeat([1, 2], n).reshape(1, 1, -1).astype(np.float32)
    assert comparison_of(logits, expected).verified
    result = comparison_of(logits, expected, labels)
    assert result.agreement > 0.99
    assert result.dice_change == pytest.approx(-5 / (2 * n - 5))
    assert not result.verified


def test_labels_that_never_occur_verify_nothing():
    nothing = planes([1, 0, 0], [1, 0, 0])
    result = comparison_of(nothing, nothing)
    assert result.agreement is None
    assert not result.verified
    assert np.isnan(pooled_dice(np.zeros((3, 2), np.int64))).all()
    one_of_two = planes(ONE, ONE, [1, 0, 0])
    assert comparison_of(one_of_two, one_of_two).agreement == 1.0
    assert not comparison_of(one_of_two, one_of_two).verified
