"""Random folds keep the brain's outline and the border between tissues that the source has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy import ndimage

from sample_data.synthesis.head_tissues import folded_sources
from sample_data.synthesis.random_parameters import Rng
from sample_data.synthesis.source import N_LEVELS, build_source
from tests.training.heads import SPACING_MM, make_head

BORDERS = (80, 165)
"""Far from the middles between the means: the border of this made reference is its own."""


def blurred_source():
    """A head whose borders are mixtures, labeled by two thresholds."""
    shape = (66, 78, 54)
    image, labels = make_head(shape)
    image = np.rint(ndimage.gaussian_filter(image.astype(float), 1.5)).clip(0, 255)
    brain = labels > 0
    tissue = 1 + np.digitize(image, BORDERS)
    return build_source(image.astype(np.int16), np.where(brain, tissue, 0), SPACING_MM)


def versions(source, count=3):
    return folded_sources(source, count, Rng(torch.Generator().manual_seed(4)))


def test_folds_change_labels_inside_an_outline_that_stays():
    source = blurred_source()
    for folded in versions(source):
        changed = folded.labels != source.labels
        assert 0.01 < float(changed[source.labels > 0].float().mean()) < 0.98
        assert torch.equal(folded.labels > 0, source.labels > 0)
        outside = source.labels == 0
        assert torch.equal(folded.index[outside], source.index[outside])


def test_the_classes_of_folded_voxels_are_their_labels():
    for folded in versions(blurred_source()):
        brain = folded.labels > 0
        assert torch.equal(folded.index[brain] // N_LEVELS, folded.labels[brain].int())


def test_folds_are_labeled_at_the_borders_of_the_source():
    source = blurred_source()
    for folded in versions(source):
        levels = (folded.index % N_LEVELS).numpy()
        changed = (folded.labels != source.labels).numpy()
        expected = 1 + np.digitize(levels[changed], BORDERS)
        # The noise that is put on top is 4 levels; nothing further from a border is amiss.
        clear = np.abs(levels[changed][:, None] - np.array(BORDERS)).min(axis=1) > 20
        assert clear.sum() > 200
        np.testing.assert_array_equal(
            folded.labels.numpy()[changed][clear], expected.astype(np.uint8)[clear]
        )


def test_tissues_that_do_not_ascend_as_in_t1_are_not_folded():
    source = blurred_source()
    means = source.class_means.clone()
    means[[1, 3]] = means[[3, 1]]
    assert versions(replace(source, class_means=means)) == []
