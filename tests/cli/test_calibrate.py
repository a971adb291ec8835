"""The command that fits a temperature, on a network whose truth is known."""

from __future__ import annotations

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import special

from tests.bundles import make_bundle
from unet_med.bundle.weights import save_weights
from unet_med.cli import main
from unet_med.networks import UNet2D
from unet_med.recipe import Recipe
from unet_med.segmenter import load_segmenter

TRUE_TEMPERATURE = 2.5
AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


def make_sure(bundle):
    """Scale the logits, so that a temperature shows."""
    network, path = UNet2D(1, 3, (4, 8)), bundle / "models" / "model.pt"
    network.load_state_dict(torch.load(path, weights_only=True))
    with torch.inference_mode():
        network.last.weight *= 40
        network.last.bias *= 40
    recipe = bundle / "configs" / "recipe.json"
    digest = save_weights(network, path)
    replace(Recipe.load(recipe), weights_sha256=digest).save(recipe)


@pytest.fixture
def bundle(tmp_path):
    """A bundle, scans, and references drawn from its own probabilities at a temperature."""
    bundle = make_bundle(tmp_path / "bundle", labels={3: "one", 200: "two"})
    make_sure(bundle)
    segmenter = load_segmenter(bundle, backend="torch", threads=1)
    for name in ("a", "b"):
        random = np.random.default_rng(ord(name))
        image = nib.Nifti1Image(random.normal(100, 40, (40, 44, 9)).astype(np.int16), AFFINE)
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "labels").mkdir(exist_ok=True)
        nib.save(image, tmp_path / "images" / f"{name}.nii.gz")
        case = segmenter.open(image)
        logits = np.concatenate([part for _, part in case.logits()])
        chance = special.softmax(logits / TRUE_TEMPERATURE, axis=1)
        drawn = (random.random((9, 1, 44, 40)) > np.cumsum(chance, axis=1)).sum(axis=1)
        labels = np.array([0, 3, 200], np.uint8)[np.minimum(drawn, 2)]
        back = np.ascontiguousarray(case.layout.from_slices(labels))
        nib.save(nib.Nifti1Image(back, AFFINE), tmp_path / "labels" / f"{name}.nii.gz")
    return bundle


def calibrate(tmp_path, *options):
    folders = ("--images", tmp_path / "images", "--labels", tmp_path / "labels")
    how = ("--bundle", tmp_path / "bundle", "--backend", "torch", "--threads", 1)
    return main(["calibrate", *map(str, (*folders, *how, *options))])


def test_the_temperature_that_drew_the_references_is_found(bundle, tmp_path, capsys):
    figure = tmp_path / "reliability.png"
    assert calibrate(tmp_path, "--json", "--figure", figure) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["temperature"] == pytest.approx(TRUE_TEMPERATURE, rel=0.05)
    assert (content["n_cases"], content["n_slices"]) == (2, 18)
    assert content["n_voxels"] == 2 * 40 * 44 * 9
    errors = content["calibration_error"]
    assert errors["after"] < 0.02 < errors["before"]
    assert [label["label_name"] for label in content["labels"]] == ["one", "two"]
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert Recipe.load(bundle / "configs" / "recipe.json").temperature == 1.0  # nothing written


def test_write_changes_the_recipe_and_no_label(bundle, tmp_path, capsys):
    scan = tmp_path / "images" / "a.nii.gz"
    before = load_segmenter(bundle, backend="torch", threads=1).segment(scan)
    assert calibrate(tmp_path, "--write") == 0
    out = capsys.readouterr().out
    temperature = Recipe.load(bundle / "configs" / "recipe.json").temperature
    assert f"temperature 1 -> {temperature:g}, from 31680 voxels of 18 slices of 2 cases" in out
    assert temperature == pytest.approx(TRUE_TEMPERATURE, rel=0.05)
    after = load_segmenter(bundle, backend="torch", threads=1).segment(scan)
    np.testing.assert_array_equal(after.labels, before.labels)
    assert after.quality.temperature == temperature
    # The references were drawn from these very probabilities: now the expectation is right.
    truth = np.asarray(nib.load(tmp_path / "labels" / "a.nii.gz").dataobj)
    for label in after.quality.labels:
        found, true = after.labels == label.label, truth == label.label
        dice = 2 * (found & true).sum() / (found.sum() + true.sum())
        assert label.score == pytest.approx(dice, abs=0.01)


@pytest.mark.usefixtures("bundle")
def test_a_reference_on_another_grid_is_an_error(tmp_path, capsys):
    path = tmp_path / "labels" / "b.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((40, 44, 8), np.uint8), AFFINE), path)
    assert calibrate(tmp_path) == 2
    assert "lies on another grid than its scan" in capsys.readouterr().err


@pytest.mark.usefixtures("bundle")
def test_a_scan_without_reference_is_an_error(tmp_path, capsys):
    (tmp_path / "labels" / "b.nii.gz").unlink()
    assert calibrate(tmp_path) == 2
    assert "b" in capsys.readouterr().err
