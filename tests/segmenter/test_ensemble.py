"""Several bundles as one: the mean of probabilities, its identity, and what cannot be averaged."""

from __future__ import annotations

import gc
import json
import threading
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

import unet_med
from tests.bundles import make_bundle
from tests.exports import make_export, needs_openvino, write_scan
from unet_med.backends.torch_backend import build_network
from unet_med.bundle import open_bundle
from unet_med.bundle.weights import load_weights
from unet_med.cli import main
from unet_med.errors import BundleError, InputError, RecipeError, WeightsError
from unet_med.geometry import Geometry, slice_layout
from unet_med.inference import (
    EnsembleMember,
    Prefetch,
    SharedVolume,
    SlicePipeline,
    iter_ensemble_logits,
)
from unet_med.inference.slices import ArraySlices
from unet_med.monai import SlicewiseInferer
from unet_med.monai.transforms import LoadVolume, NormalizeVolume
from unet_med.preprocessing import Context, InPlaneResampler, Normalization
from unet_med.recipe import Channel, PostprocessingRule, Recipe
from unet_med.recipe.sliding_window import SlidingWindow
from unet_med.volumes import open_volume

OTHERWISE = {
    "context": Context(3, 4.0),
    "in_plane_spacing_mm": 1.3,
    "sizes": (4, 8, 16),
    "window": SlidingWindow((16, 16), max_pixels=300),
    "tta": ("left-right",),
}
"""A bundle that shares nothing with the plain one but what an ensemble needs."""


def change_recipe(bundle, **changes):
    path = bundle / "configs" / "recipe.json"
    replace(Recipe.load(path), **changes).save(path)
    return bundle


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.nii.gz")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    root = tmp_path_factory.mktemp("bundles")
    other = make_bundle(root / "b", seed=1, **OTHERWISE)
    rule = Normalization("zscore", "nonzero", -3.0, 3.0)
    change_recipe(other, channels=(Channel("channel0", "MR", rule),))
    return [make_bundle(root / "a"), other, make_bundle(root / "c", seed=2)]


def probabilities(bundle, scan):
    """One bundle alone, through MONAI's face of the stream."""
    opened = open_bundle(bundle)
    network = build_network(opened.recipe)
    load_weights(network, opened.weights_path)
    rules = [channel.normalization for channel in opened.recipe.channels]
    volume = MetaTensor(NormalizeVolume(rules)(LoadVolume()(scan)))[None]
    with torch.inference_mode():
        logits = SlicewiseInferer(recipe=opened.recipe)(volume, network.eval())
    return logits.as_tensor()[0].double().softmax(0).numpy()


@pytest.mark.parametrize("chosen", [(0, 2), (1, 0), (2, 1, 0)])
def test_labels_are_those_of_the_mean_probability(bundles, scan, chosen):
    torch.set_num_threads(1)
    members = [bundles[n] for n in chosen]
    mean = np.mean([probabilities(bundle, scan) for bundle in members], axis=0)
    labels = unet_med.load(members, threads=1, backend="torch").segment(scan).labels
    different = labels != mean.argmax(0)
    top = np.sort(mean, axis=0)
    assert (top[-1] - top[-2])[different].max(initial=0.0) < 1e-5
    assert different.mean() < 1e-3
    for bundle in members:
        alone = unet_med.load(bundle, threads=1, backend="torch").segment(scan).labels
        assert (alone != labels).mean() > 0.01, "this ensemble is one of its members"


def test_one_bundle_in_a_list_is_that_bundle(bundles, scan):
    one = unet_med.load(bundles[:1], threads=1)
    alone = unet_med.load(bundles[0], threads=1)
    assert one.identity() == alone.identity()
    np.testing.assert_array_equal(one.segment(scan).labels, alone.segment(scan).labels)


def test_the_mask_file_is_the_one_in_memory(bundles, scan, tmp_path):
    segmenter = unet_med.load(bundles, threads=1)
    facts = segmenter.segment_to(scan, tmp_path / "a.nii.gz")
    result = segmenter.segment(scan)
    result.save(tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert facts.volumes_ml == result.volumes_ml
    assert facts.seconds["average"] > 0


def test_the_scan_is_read_once_for_all(scan):
    class Counting:
        def __init__(self, volume):
            self.volume, self.slices = volume, []
            self.geometry = volume.geometry

        def read(self, start, stop, *, axis):
            self.slices += range(start, stop)
            return self.volume.read(start, stop, axis=axis)

    volume = open_volume(scan)
    counting = Counting(volume)
    shared = SharedVolume(counting, readers=2)
    n = volume.geometry.shape[1]
    for starts, step in ((range(0, n, 4), 4), (range(0, n, 3), 3)):
        parts = [shared.read(k, min(k + step, n), axis=1) for k in starts]
        whole = np.concatenate(parts, axis=2)
        np.testing.assert_array_equal(whole, volume.read(0, n, axis=1))
    assert counting.slices == list(range(n))
    assert not shared._kept


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"labels": {1: "one", 3: "two"}}, "labels"),
        ({"labels": {2: "two", 1: "one"}}, "the order of labels"),
        ({"slice_axis": "coronal"}, "slice_axis"),
        ({"temperature": 1.5}, "temperature"),
        ({"postprocessing": {"1": PostprocessingRule(fill_holes=True)}}, "postprocessing"),
        ({"channels": (Channel("FLAIR", "MR"),)}, "channels"),
        ({"activation": "sigmoid", "labels": {1: "one", 2: "two", 3: "x"}}, "labels, activation"),
    ],
)
def test_bundles_that_cannot_be_averaged_are_refused(bundles, tmp_path, changes, text):
    other = change_recipe(make_bundle(tmp_path / "other"), **changes)
    with pytest.raises(BundleError, match=f"differ in {text}"):
        unet_med.load([bundles[0], other])


def test_an_empty_list_and_a_missing_member_are_refused(bundles):
    with pytest.raises(InputError, match="no bundle was named"):
        unet_med.load([])
    with pytest.raises(BundleError, match="nowhere"):
        unet_med.load([bundles[0], "nowhere"])


def test_the_identity_is_that_of_all_members_and_of_the_mirroring(bundles):
    def sha256(chosen, tta="recipe"):
        return unet_med.load([bundles[n] for n in chosen], tta=tta).identity()["sha256"]

    found = [
        sha256((0,)), sha256((2,)), sha256((0, 2)), sha256((2, 0)), sha256((0, 1)),
        sha256((0, 2), "left-right"), sha256((0,), "left-right"),
    ]  # fmt: skip
    assert len(set(found)) == len(found)
    assert sha256((0, 2)) == sha256((0, 2), "none") == found[2]
    assert sha256((0, 1), "none") != sha256((0, 1))


def test_on_the_command_line(bundles, scan, tmp_path, capsys):
    words = ["--output", str(tmp_path / "out"), "--threads", "1", "--json"]
    # An input may follow a bundle at once: it is no second bundle.
    words = ["segment", "--bundle", str(bundles[0]), str(scan), *words, "--bundle", str(bundles[2])]
    assert main(words) == 0
    sidecar = json.loads((tmp_path / "out" / "scan.json").read_text())
    assert [member["folder"] for member in sidecar["bundle"]["members"]] == [
        str(bundles[0]), str(bundles[2])
    ]  # fmt: skip
    assert sidecar["postprocessing"] is None
    expected = unet_med.load(bundles[::2], threads=1)
    assert sidecar["bundle"]["sha256"] == expected.identity()["sha256"]
    labels = np.asarray(open_volume(tmp_path / "out" / "scan.nii.gz").read(0, 11, axis=2)[0])
    np.testing.assert_array_equal(labels, expected.segment(scan).labels)

    capsys.readouterr()
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == 1
    assert main([*words, "--tta", "anterior-posterior"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 1
    sidecar = json.loads((tmp_path / "out" / "scan.json").read_text())
    assert sidecar["bundle"]["members"][1]["tta"] == ["anterior-posterior"]
    assert main([*words, "--tta", "inferior-superior"]) == 2
    assert "through-plane" in capsys.readouterr().err
    assert main([*words, "--tta", "diagonal"]) == 2


def test_axes_across_the_slices_are_refused_in_python(bundles):
    with pytest.raises(RecipeError, match="through-plane"):
        unet_med.load(bundles, tta="inferior-superior")


def test_all_members_run_on_one_backend(bundles, scan, tmp_path):
    needs_openvino()
    exported = [make_export(tmp_path / name, scan, seed=n) for n, name in enumerate("ab")]
    fast = unet_med.load(exported, threads=1)
    assert fast.execution.backend == "openvino"
    assert fast.execution.model_sha256 != unet_med.load(exported[0]).execution.model_sha256
    mixed = unet_med.load([exported[0], bundles[2]], threads=1)
    assert {member.execution.backend for member in mixed.loaded_bundles} == {"torch"}
    assert "not all bundles have an export" in mixed.execution.reason
    slow = unet_med.load(exported, threads=1, backend="torch").segment(scan).labels
    assert (fast.segment(scan).labels != slow).mean() < 1e-3


def test_a_member_that_fails_leaves_no_thread_of_another():
    def works(slices):
        return np.repeat(slices[:, :1], 2, axis=1)

    def fails(_slices):
        msg = "no more"
        raise WeightsError(msg)

    grid = Geometry((16, 16, 60), np.eye(4))
    layout = slice_layout(grid, "axial").in_file_order()
    source = ArraySlices(np.ones((1, 16, 16, 60), np.float32), layout)
    resampler = InPlaneResampler((16, 16), (1.0, 1.0), None)
    members = [
        EnsembleMember(
            SlicePipeline(layout, offsets, resampler, 16, SlidingWindow(), 4), (), predictor
        )
        for offsets, predictor in (((0,), works), ((-1, 0, 1), fails))
    ]
    gc.disable()  # what only that would free stays for minutes
    try:
        with suppress(WeightsError):
            list(Prefetch(iter_ensemble_logits(members, lambda _: source, activation="softmax")))
        assert not [t for t in threading.enumerate() if t.name == "unet_med-prefetch"]
    finally:
        gc.enable()
