"""Components counted slice by slice, against SciPy on the whole volume."""

import numpy as np
import pytest
from scipy import ndimage

from unet_med.quality import ComponentCount, components


def streamed(mask):
    count = ComponentCount()
    for plane in mask:
        count.add(plane)
    return count.count, count.largest


def whole(mask):
    numbers, n = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    return n, int(np.bincount(numbers.ravel(), minlength=n + 1)[1:].max(initial=0))


@pytest.mark.parametrize("density", [0.02, 0.08, 0.15, 0.4])
@pytest.mark.parametrize("seed", range(4))
def test_streamed_components_are_those_of_the_volume(density, seed):
    mask = np.random.default_rng(seed).random((9, 14, 11)) < density
    assert streamed(mask) == whole(mask)


def test_pieces_that_meet_only_later_become_one():
    mask = np.zeros((3, 4, 7), bool)
    mask[:, 1, 1] = mask[:, 2, 5] = True  # two legs
    assert streamed(mask) == (2, 3)
    mask[2, 1, 1:6] = True  # joined in the last slice
    assert streamed(mask) == whole(mask) == (1, 10)


def test_a_corner_joins_and_an_empty_slice_parts():
    mask = np.zeros((4, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[3, 1, 1] = True
    assert streamed(mask) == (2, 2)
    assert streamed(np.zeros((2, 3, 3), bool)) == (0, 0)


@pytest.mark.parametrize("table", [0, 1 << 20])
def test_both_ways_to_pairs_give_the_same(monkeypatch, table):
    monkeypatch.setattr(components, "_TABLE", table)
    mask = np.random.default_rng(5).random((12, 30, 20)) < 0.2
    assert streamed(mask) == whole(mask)


def test_memory_is_that_of_a_slice():
    random = np.random.default_rng(0)
    count = ComponentCount()
    for _ in range(40):
        count.add(random.random((40, 50)) < 0.1)
    assert count.n_finished > 1000
    assert len(count._sizes) < 250
