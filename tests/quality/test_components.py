"""Components counted slice by slice, against SciPy on the whole volume."""

import numpy as np
import pytest
from scipy import ndimage

from unet_med.quality import ComponentCount


def streamed(mask):
    count = ComponentCount()
    for plane in mask:
        count.add(plane)
    return count.sizes()


def whole(mask):
    numbers, n = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    return sorted(np.bincount(numbers.ravel(), minlength=n + 1)[1:].tolist(), reverse=True)


@pytest.mark.parametrize("density", [0.02, 0.08, 0.15, 0.4])
@pytest.mark.parametrize("seed", range(4))
def test_streamed_components_are_those_of_the_volume(density, seed):
    mask = np.random.default_rng(seed).random((9, 14, 11)) < density
    assert streamed(mask) == whole(mask)


def test_pieces_that_meet_only_later_become_one():
    mask = np.zeros((3, 4, 7), bool)
    mask[:, 1, 1] = mask[:, 2, 5] = True  # two legs
    assert streamed(mask) == [3, 3]
    mask[2, 1, 1:6] = True  # joined in the last slice
    assert streamed(mask) == whole(mask) == [10]


def test_a_corner_joins_and_an_empty_slice_parts():
    mask = np.zeros((4, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[3, 1, 1] = True
    assert streamed(mask) == [2, 1]
    assert streamed(np.zeros((2, 3, 3), bool)) == []
