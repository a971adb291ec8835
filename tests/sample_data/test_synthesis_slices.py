"""Random slices: deterministic, labels in range, and exactly the source when nothing is varied."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from sample_data.synthesis.random_parameters import Rng, SynthesisSettings
from sample_data.synthesis.scan import sample_scan
from sample_data.synthesis.slices import InputFormat, render_slices, sample_slice_indices
from sample_data.synthesis.source import N_LEVELS, build_source
from tests.sample_data.sources import make_source
from tests.training.heads import SPACING_MM, make_head
from unet_med.preprocessing import (
    Context,
    InPlaneResampler,
    IntensityStatistics,
    Normalization,
    normalize,
    stack_context,
)

RULE = Normalization("zscore", "above_mean", low=-5.0, high=5.0)
FORMAT = InputFormat(Context(slices=5, reach_mm=6.0), 1.0, RULE)
SMALL = replace(SynthesisSettings(), patch_size=48)


def synthetic_slices(seed, settings=SMALL, count=2):
    rng = Rng(torch.Generator().manual_seed(seed))
    scan = sample_scan(make_source(), settings, rng)
    indices = sample_slice_indices(scan, count, rng)
    return render_slices(scan, FORMAT, settings, indices=indices, rng=rng)


def test_the_same_seed_gives_the_same_slices_and_another_seed_others():
    first, again, other = synthetic_slices(7), synthetic_slices(7), synthetic_slices(8)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a["image"], b["image"])
        assert torch.equal(a["label"], b["label"])
    assert not torch.equal(first[0]["image"], other[0]["image"])


def test_global_random_state_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    synthetic_slices(7)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("seed", range(12))
def test_slices_are_finite_with_labels_in_range(seed):
    for item in synthetic_slices(seed):
        assert item["image"].shape == (5, 48, 48)
        assert item["label"].shape == (1, 48, 48)
        assert item["image"].dtype == torch.float32
        assert torch.isfinite(item["image"]).all()
        assert item["label"].dtype == torch.uint8
        assert int(item["label"].max()) <= 3


def test_most_slices_hold_tissue():
    # A sampler that looks past the head would pass every other test here.
    shares = [
        float((item["label"] > 0).float().mean()) for s in range(12) for item in synthetic_slices(s)
    ]
    assert np.mean(np.array(shares) > 0.02) > 0.6


def test_identity_is_what_inference_feeds_the_network():
    image, labels = make_head()
    spacing = (1.0, 1.0, 2.5)
    settings = SynthesisSettings.identity()
    rng = Rng(torch.Generator().manual_seed(0))
    scan = sample_scan(build_source(image, labels, spacing), settings, rng)
    n = image.shape[2]
    assert scan.n_slices == n
    items = render_slices(scan, FORMAT, settings, indices=list(range(n)), rng=rng)

    statistics = IntensityStatistics()
    for k in range(n):
        statistics.add(image[..., k].astype(np.float32))
    planes = image.transpose(2, 1, 0)[:, None].astype(np.float32)  # slices, C, rows A, columns R
    planes = InPlaneResampler(planes.shape[2:], (1.0, 1.0), 1.0).to_network(planes)
    expected = stack_context(
        normalize(planes, RULE, statistics), FORMAT.context.offsets(spacing[2])
    )
    found = np.stack([item["image"].numpy() for item in items])
    np.testing.assert_allclose(found, expected, atol=2e-3)  # interpolation at voxel centers
    for k, item in enumerate(items):
        np.testing.assert_array_equal(item["label"][0].numpy(), labels[:, :, k].T)


def test_removing_the_surroundings_leaves_the_tissue():
    settings = replace(SynthesisSettings.identity(), brain_only=1.0)
    rng = Rng(torch.Generator().manual_seed(0))
    scan = sample_scan(make_source(), settings, rng)
    labels = scan.source.labels
    assert float(scan.values[0, 0][labels == 0].max()) == 0.0
    assert float(scan.values[0, 0][labels > 0].min()) > 0.0


def test_contrast_keeps_the_order_of_t1_tissues():
    settings = replace(SynthesisSettings(), contrast=(0.0, 1.0), brain_only=0.0)
    for seed in range(10):
        scan = sample_scan(make_source(), settings, Rng(torch.Generator().manual_seed(seed)))
        values, labels = scan.values[0, 0], scan.source.labels
        fluid, gray, white = (float(values[labels == k].mean()) for k in (1, 2, 3))
        assert fluid < gray < white


@pytest.mark.parametrize("contrast", [(1.0, 0.0), (0.0, 1.0)])
def test_a_new_contrast_keeps_mixed_voxels_between_their_tissues(contrast):
    image, labels = make_head()
    image = ndimage.gaussian_filter(image.astype(float), 1.0)  # borders are mixtures
    source = build_source(np.rint(image).clip(0, 255).astype(np.int16), labels, SPACING_MM)
    settings = replace(SynthesisSettings.identity(), contrast=contrast)
    levels = (source.index % N_LEVELS)[source.labels > 0]
    for seed in range(5):
        scan = sample_scan(source, settings, Rng(torch.Generator().manual_seed(seed)))
        values = scan.values[0, 0][source.labels > 0]
        assert not torch.allclose(values, levels.float(), atol=1e-3)
        # One line for all tissues: equal before is equal after, brighter stays brighter.
        by_level = [values[levels == level] for level in levels.unique()]
        assert max(float(v.max() - v.min()) for v in by_level) == 0.0
        assert (torch.stack([v[0] for v in by_level]).diff() >= 0).all()


def test_tissues_moved_apart_leave_gaps_and_keep_their_order():
    settings = replace(SynthesisSettings.identity(), contrast=(0.0, 1.0), independent_tissues=1.0)
    source = make_source()
    for seed in range(5):
        scan = sample_scan(source, settings, Rng(torch.Generator().manual_seed(seed)))
        values = [scan.values[0, 0][source.labels == label] for label in (1, 2, 3)]
        means = [float(value.mean()) for value in values]
        assert means == sorted(means)
        # Within a tissue the gray levels are drawn together, by a gain below 0.6.
        spread = [float(value.max() - value.min()) for value in values]
        levels = [(source.index % N_LEVELS)[source.labels == label] for label in (1, 2, 3)]
        assert all(
            new <= 0.6 * float(old.max() - old.min()) + 1e-3
            for new, old in zip(spread, levels, strict=True)
        )


def test_mirroring_swaps_columns_of_image_and_labels_alike():
    def one(mirror):
        settings = replace(SynthesisSettings.identity(), mirror=mirror)
        rng = Rng(torch.Generator().manual_seed(0))
        scan = sample_scan(make_source(), settings, rng)
        return render_slices(scan, FORMAT, settings, indices=[scan.n_slices // 2], rng=rng)[0]

    # A mirror that never comes up, so that both scans take their statistics from one grid.
    plain, mirrored = one(1e-9), one(1.0)
    np.testing.assert_allclose(
        mirrored["image"].numpy(), plain["image"].numpy()[..., ::-1], atol=5e-3
    )
    np.testing.assert_array_equal(mirrored["label"].numpy(), plain["label"].numpy()[..., ::-1])


def test_spacing_of_the_source_sets_the_size_of_the_slices():
    shape = make_head()[0].shape
    item = synthetic_slices(0, SynthesisSettings.identity(), 1)[0]
    expected = [round(n * mm) for n, mm in zip(shape[:2], SPACING_MM[:2], strict=True)]
    assert list(item["label"].shape[1:]) == expected[::-1]
