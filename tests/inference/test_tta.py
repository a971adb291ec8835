"""Test-time mirroring, against mirroring the whole scan by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from tests.bundles import make_bundle
from unet_med.backends.torch_backend import build_network
from unet_med.bundle import open_bundle
from unet_med.bundle.weights import load_weights
from unet_med.errors import RecipeError
from unet_med.geometry import Geometry, slice_layout
from unet_med.inference import SlicePipeline
from unet_med.inference.tta import slice_flips
from unet_med.monai import SlicewiseInferer
from unet_med.preprocessing import Context
from unet_med.recipe.sliding_window import SlidingWindow

TURNED = np.array([[0, 0, -2.0, 0], [1.0, 0, 0, 0], [0, 1.5, 0, 0], [0, 0, 0, 1]])
"""Array axes run to A, S and L."""
ALL = ("left-right", "anterior-posterior", "inferior-superior")


@pytest.mark.parametrize(
    ("tta", "slice_axis", "expected"),
    [
        ((), "axial", {(False, False)}),
        (ALL[:1], "axial", {(False, False), (False, True)}),
        (ALL[1:2], "axial", {(False, False), (True, False)}),
        (ALL[1:2], "sagittal", {(False, False), (False, True)}),
        (ALL[2:], "coronal", {(False, False), (True, False)}),
        (ALL[:1], "sagittal", {(False, False)}),
        (ALL, "axial", {(a, b) for a in (False, True) for b in (False, True)}),
    ],
)
@pytest.mark.parametrize("affine", [np.diag([1.0, 1.2, 3.0, 1.0]), TURNED])
def test_anatomical_axes_become_rows_and_columns(tta, slice_axis, expected, affine):
    grid = Geometry((4, 5, 6), affine)
    found = slice_flips(tta, grid, slice_layout(grid, slice_axis))
    assert found[0] == (False, False)
    assert len(found) == len(expected)
    assert set(found) == expected


def network_of(bundle):
    network = build_network(bundle.recipe)
    load_weights(network, bundle.weights_path)
    return network.eval()


def by_hand(volume, affine, recipe, network, array_axes):
    """Mirror the whole array along array axes, run, mirror back, and average."""
    combinations = [()]
    for axis in array_axes:
        combinations += [(*chosen, axis) for chosen in combinations]
    total = 0.0
    for chosen in combinations:
        axes = [axis + 2 for axis in chosen]
        turned = MetaTensor(volume.flip(axes), affine=affine)
        logits = SlicewiseInferer(recipe=recipe)(turned, network).as_tensor().flip(axes)
        total = total + logits.double().softmax(1)
    return total / len(combinations)


@pytest.mark.parametrize(
    ("slice_axis", "tta", "affine", "array_axes"),
    [
        ("axial", ALL[:2], np.diag([1.0, 1.2, 3.0, 1.0]), (0, 1)),
        ("coronal", ("inferior-superior",), TURNED, (1,)),
        ("sagittal", ("anterior-posterior",), TURNED, (0,)),
        ("thickest", ALL, np.diag([-1.0, -1.2, 3.0, 1.0]), (0, 1)),
    ],
)
def test_mirroring_equals_mirroring_the_scan(tmp_path, slice_axis, tta, affine, array_axes):
    bundle = open_bundle(make_bundle(tmp_path, slice_axis=slice_axis, context=Context(3, 3.0)))
    network = network_of(bundle)
    torch.manual_seed(3)
    scan = MetaTensor(torch.randn(1, 1, 19, 22, 9), affine=torch.from_numpy(affine))
    expected = by_hand(scan.as_tensor(), scan.affine, bundle.recipe, network, array_axes)
    logits = SlicewiseInferer(recipe=replace(bundle.recipe, tta=tta))(scan, network).as_tensor()
    torch.testing.assert_close(logits.double().softmax(1), expected, rtol=0, atol=2e-6)
    alone = SlicewiseInferer(recipe=bundle.recipe)(scan, network).as_tensor()
    assert (alone.argmax(1) != logits.argmax(1)).any(), "mirroring changed nothing here"


class Recorder:
    """Gives the first channel and its negative as logits, and keeps the size of each call."""

    def __init__(self):
        self.calls = []

    def __call__(self, slices, /):
        self.calls.append(len(slices))
        return np.concatenate([slices[:, :1], -slices[:, :1]], axis=1)


@pytest.mark.parametrize("window", [SlidingWindow(), SlidingWindow((16, 16), max_pixels=300)])
def test_slices_windows_and_mirrors_share_a_call(tmp_path, window):
    recipe = open_bundle(make_bundle(tmp_path, window=window, tta=ALL[:2])).recipe
    pipeline = SlicePipeline.for_scan(recipe, Geometry((20, 24, 8), np.eye(4)))
    pipeline = replace(pipeline, batch_size=12)
    assert pipeline.slices_per_call == 3
    network = Recorder()
    slices = np.random.default_rng(0).normal(size=(3, 1, 24, 20)).astype(np.float32)
    logits = pipeline.run_network(slices, network)
    assert set(network.calls) == {12}
    plain = replace(pipeline, flips=((False, False),)).run_network(slices, Recorder())
    np.testing.assert_allclose(logits[:, 0] - logits[:, 1], 2 * slices[:, 0], atol=1e-4)
    np.testing.assert_allclose(plain[:, 0], slices[:, 0], atol=1e-5)


def test_axes_that_are_no_text_are_refused(tmp_path):
    recipe = open_bundle(make_bundle(tmp_path)).recipe
    with pytest.raises(RecipeError, match="axes joined by commas"):
        recipe.with_tta(["left-right"])


def test_more_mirrors_than_a_call_holds_are_run_in_turns(tmp_path):
    recipe = open_bundle(make_bundle(tmp_path, tta=ALL[:2])).recipe
    pipeline = SlicePipeline.for_scan(recipe, Geometry((20, 24, 8), np.eye(4)))
    pipeline = replace(pipeline, batch_size=3)
    network = Recorder()
    slices = np.random.default_rng(0).normal(size=(1, 1, 24, 20)).astype(np.float32)
    pipeline.run_network(slices, network)
    assert network.calls == [3, 1]
