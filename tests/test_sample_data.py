"""The sample data that is shipped, and the tissue recipe that its references come from."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

SAMPLE_DATA = Path(__file__).parents[1] / "sample_data"
LIMIT_BYTES = 25 * 2**20


def load_module(name):
    spec = importlib.util.spec_from_file_location(f"sample_{name}", SAMPLE_DATA / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


tissue = load_module("tissue")


@pytest.mark.parametrize("pair", ["demo/{}/colin27.nii.gz", "train/{}/icbm2009a.nii.gz"])
def test_scan_and_labels_share_their_grid(pair):
    scan, labels = (nib.load(SAMPLE_DATA / pair.format(kind)) for kind in ("images", "labels"))
    assert scan.shape == labels.shape
    np.testing.assert_array_equal(scan.affine, labels.affine)
    assert labels.get_data_dtype() == np.uint8
    values = np.asarray(labels.dataobj)
    assert np.unique(values).tolist() == [0, 1, 2, 3]
    image = np.asarray(scan.dataobj)
    fluid, gray, white = (image[values == k].mean() for k in (1, 2, 3))
    assert fluid < gray < white


def test_the_demo_scan_has_its_skull_and_training_never_saw_it():
    scan = np.asarray(nib.load(SAMPLE_DATA / "demo/images/colin27.nii.gz").dataobj)
    labels = np.asarray(nib.load(SAMPLE_DATA / "demo/labels/colin27.nii.gz").dataobj)
    assert (scan[labels == 0] > 100).mean() > 0.02
    assert not list((SAMPLE_DATA / "train").rglob("*colin*"))


def test_everything_committed_fits_the_limit():
    root = SAMPLE_DATA.parent
    files = [*SAMPLE_DATA.rglob("*.nii.gz"), root / "models" / "model.pt"]
    assert sum(f.stat().st_size for f in files) <= LIMIT_BYTES
    assert (root / "models" / "model.pt").stat().st_size < 10_000_000


def test_the_notice_is_there():
    notice = (SAMPLE_DATA / "NOTICE.txt").read_text(encoding="utf-8")
    assert "Copyright (C) 1993-2009 Louis Collins" in notice
    for package in ("mricron-data", "nilearn", "nimare"):
        assert package in notice


def test_mixture_finds_three_known_distributions():
    rng = np.random.default_rng(5)
    known = ((60.0, 9.0, 4000), (120.0, 8.0, 20000), (165.0, 6.0, 12000))
    values = np.concatenate([rng.normal(mean, sd, n) for mean, sd, n in known])
    mixture = tissue.fit_mixture(values)
    np.testing.assert_allclose(mixture.means, [m for m, _, _ in known], atol=1.5)
    np.testing.assert_allclose(mixture.deviations, [s for _, s, _ in known], rtol=0.12)
    np.testing.assert_allclose(mixture.weights, np.array([n for *_, n in known]) / 36000, atol=0.02)


def test_tissue_is_found_under_noise_and_a_bias_field():
    rng = np.random.default_rng(2)
    shape = (40, 46, 34)
    field = ndimage.gaussian_filter(rng.normal(size=shape), 4)
    truth = np.digitize(field, np.quantile(field, [0.15, 0.6])) + 1
    mask = np.zeros(shape, bool)
    mask[3:-4, 4:-3, 2:-5] = True
    clean = np.array([0.0, 60.0, 120.0, 165.0])[truth]
    slope = np.linspace(0.88, 1.14, shape[1])[None, :, None]
    image = clean * slope + rng.normal(0, 7, shape)
    labels = tissue.classify(image, mask)
    assert not labels[~mask].any()
    for k in (1, 2, 3):
        found, true = labels[mask] == k, truth[mask] == k
        dice = 2 * (found & true).sum() / (found.sum() + true.sum())
        assert dice > 0.95, k
    np.testing.assert_array_equal(labels, tissue.classify(image, mask))  # deterministic
    plain = np.digitize(image[mask], [90, 142.5]) + 1  # what thresholds alone would give
    assert (labels[mask] == truth[mask]).mean() > (plain == truth[mask]).mean()
