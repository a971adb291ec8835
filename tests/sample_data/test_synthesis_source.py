"""Sources and their random folds."""

from __future__ import annotations

import numpy as np
import torch

from sample_data.synthesis.head_tissues import folded_sources
from sample_data.synthesis.random_parameters import Rng
from sample_data.synthesis.source import N_LEVELS, gray_levels
from tests.sample_data.sources import make_source
from tests.training.heads import make_head


def test_source_keeps_labels_and_gray_levels_apart():
    image, labels = make_head()
    source = make_source()
    classes, levels = source.index // N_LEVELS, source.index % N_LEVELS
    np.testing.assert_array_equal(levels.numpy(), gray_levels(image))
    np.testing.assert_array_equal(source.class_labels[classes.long()].numpy(), labels)
    assert source.n_labels == 3
    # Skull is no air: it has a class of its own, brighter than any tissue.
    skull = int(classes[torch.from_numpy(image > 235)].mode().values)
    assert skull > 3
    assert source.class_means[skull] > source.class_means[3]


def test_wide_intensities_become_256_levels():
    image = np.arange(60000, dtype=np.float32).reshape(30, 40, 50)
    levels = gray_levels(image)
    assert levels.dtype == np.uint8
    assert levels.min() == 0
    assert levels.max() == 255
    assert (np.diff(levels.ravel().astype(int)) >= 0).all()


def test_folds_keep_the_outline_and_differ_from_each_other():
    source = make_source()
    first, second = folded_sources(source, 2, Rng(torch.Generator().manual_seed(1)))
    for folded in (first, second):
        assert torch.equal(folded.labels > 0, source.labels > 0)
        assert torch.equal(
            folded.class_labels[(folded.index // N_LEVELS).long()], folded.labels.long()
        )
        outside = source.labels == 0
        assert torch.equal(folded.index[outside], source.index[outside])
        assert not torch.equal(folded.labels, source.labels)
    assert not torch.equal(first.labels, second.labels)
