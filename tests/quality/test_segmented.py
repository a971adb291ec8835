"""Quality of real network output, through the segmenter's interfaces."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import special

from tests.bundles import make_bundle
from unet_med.networks import UNet2D
from unet_med.recipe import Fingerprint, PostprocessingRule
from unet_med.segmenter import load_segmenter

AFFINE = np.array([[-1.0, 0, 0, 9], [0, 0, 1.5, -7], [0, -2.0, 0, 2], [0, 0, 0, 1]])
"""Axial slices are stacked along j, downwards."""


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return load_segmenter(make_bundle(tmp_path_factory.mktemp("bundle")), threads=1)


def changed(segmenter, **changes):
    recipe = replace(segmenter.recipe, **changes)
    return replace(segmenter, bundle=replace(segmenter.bundle, recipe=recipe))


def make_scan():
    values = np.random.default_rng(0).normal(100, 30, (21, 9, 18))
    values[4:16, :, 5:14] += 200
    return nib.Nifti1Image(values.astype(np.int16), AFFINE)


def slow_probabilities(image, segmenter, temperature):
    """Softmax slice by slice, (j, 3, rows, columns); rows run along k, columns against i."""
    voxels = image.get_fdata().astype(np.float32)
    bright = voxels[voxels > voxels.mean(dtype=np.float64)]
    z = (voxels - bright.mean(dtype=np.float64)) / bright.std(dtype=np.float64)
    z = np.clip(z, -5, 5).astype(np.float32)[::-1].transpose(1, 2, 0)
    network = UNet2D(1, 3, (4, 8)).eval()
    network.load_state_dict(torch.load(segmenter.bundle.weights_path, weights_only=True))
    with torch.inference_mode():
        logits = network(torch.from_numpy(z.copy())[:, None]).numpy()
    return special.softmax(logits / temperature, axis=1)


def test_expected_dice_and_entropy_are_those_of_the_slow_way(segmenter):
    image = make_scan()
    quality = changed(segmenter, temperature=1.7).segment(image).quality
    likely = slow_probabilities(image, segmenter, 1.7)
    labels = likely.argmax(axis=1)
    flag = -(likely * np.log(likely)).sum(axis=1) / np.log(3)
    assert quality.slice_axis == 1
    for column, label in enumerate((1, 2)):
        for j in range(9):
            mask, chance = labels[j] == label, likely[j, label]
            assert mask.any()
            expected = 2 * chance[mask].sum() / (mask.sum() + chance.sum())
            assert quality.expected_dice[j, column] == pytest.approx(expected, abs=2e-3)
            assert quality.entropy[j, column] == pytest.approx(flag[j][mask].mean(), abs=2e-3)


def test_both_doors_say_the_same(segmenter, tmp_path):
    image = make_scan()
    nib.save(image, tmp_path / "scan.nii.gz")
    facts = segmenter.segment_to(tmp_path / "scan.nii.gz", tmp_path / "mask.nii.gz")
    assert facts.quality.as_dict() == segmenter.segment(image).quality.as_dict()
    assert facts.seconds["quality"] > 0


def test_post_processing_is_judged_by_its_mask(segmenter):
    image = make_scan()
    cleaned = changed(segmenter, postprocessing={"1": PostprocessingRule(largest_component=True)})
    before, after = segmenter.segment(image), cleaned.segment(image)
    assert before.quality.labels[0].components > 1
    assert after.quality.labels[0].components == 1
    areas = (after.labels == 1).sum(axis=(0, 2)) * 1.5
    np.testing.assert_allclose(after.quality.area_mm2[:, 0], areas)
    there = areas > 0
    np.testing.assert_array_equal(
        after.quality.expected_dice[there, 0], before.quality.expected_dice[there, 0]
    )
    assert np.isnan(after.quality.expected_dice[~there, 0]).all()


def test_a_scan_unlike_the_training_scans_is_reported(segmenter):
    trained = Fingerprint(slice_spacing_mm=(0.5, 1.0), volumes_ml={"one": (500.0, 600.0)})
    warnings = changed(segmenter, fingerprint=trained).segment(make_scan()).warnings
    assert any("distance between slices is 2 mm" in text for text in warnings)
    assert any("volume of one is" in text for text in warnings)
