"""Components counted slice by slice, against SciPy on the whole volume, label by label."""

import numpy as np
import pytest
from scipy import ndimage

from unet_med.quality import StreamingComponentCounter
from unet_med.quality.connected_components import SliceRuns


def streamed(labels, n_labels=1, *, steps=(1,)):
    """Components of labels 1 … n_labels, added in steps of so many slices, over and over."""
    count, start = StreamingComponentCounter(n_labels), 0
    while start < len(labels):
        step = steps[start % len(steps)]
        known = min(start, 1)
        stack = labels[start - known : start + step]
        runs = SliceRuns(stack, n_joined=known)
        count.add(runs, runs.values.astype(np.intp) - 1, len(stack))
        start += step
    return list(zip(count.count.tolist(), count.largest.tolist(), strict=True))


def whole(labels, n_labels=1):
    """The obvious way: each label's mask, labeled as a volume."""
    found = []
    for label in range(1, n_labels + 1):
        numbers, n = ndimage.label(labels == label, structure=np.ones((3, 3, 3)))
        found.append((n, int(np.bincount(numbers.ravel(), minlength=n + 1)[1:].max(initial=0))))
    return found


@pytest.mark.parametrize("steps", [(1,), (3,), (2, 5, 1), (9,)])
@pytest.mark.parametrize("density", [0.02, 0.08, 0.15, 0.4])
@pytest.mark.parametrize("seed", range(4))
def test_streamed_components_are_those_of_the_volume(density, seed, steps):
    mask = (np.random.default_rng(seed).random((9, 14, 11)) < density).astype(np.uint8)
    assert streamed(mask, steps=steps) == whole(mask)


@pytest.mark.parametrize("steps", [(1,), (4,)])
@pytest.mark.parametrize("seed", range(6))
def test_labels_side_by_side_stay_apart(seed, steps):
    random = np.random.default_rng(seed)
    n_labels = 1 + seed
    labels = random.integers(0, n_labels + 1, (8, 12, 17)).astype(np.uint16)
    labels *= random.random(labels.shape) < 0.2 + 0.15 * seed
    labels[3] *= seed % 2  # an empty slice between
    assert streamed(labels, n_labels, steps=steps) == whole(labels, n_labels)


@pytest.mark.parametrize("seed", range(3))
def test_smooth_labels_with_empty_slices(seed):
    random = np.random.default_rng(seed)
    fields = ndimage.gaussian_filter(random.normal(size=(4, 20, 40, 33)), (0, 1, 2, 2))
    labels = np.argmax(fields, axis=0).astype(np.uint8)
    labels[:2] = labels[7:9] = 0
    assert streamed(labels, 3, steps=(3, 1)) == whole(labels, 3)


def test_pieces_that_meet_only_later_become_one():
    mask = np.zeros((3, 4, 7), np.uint8)
    mask[:, 1, 1] = mask[:, 2, 5] = 1  # two legs
    assert streamed(mask) == [(2, 3)]
    mask[2, 1, 1:6] = 1  # joined in the last slice
    assert streamed(mask) == whole(mask) == [(1, 10)]


@pytest.mark.parametrize("steps", [(1,), (4,)])
def test_each_neighbor_of_26_joins_and_the_edges_of_the_slice_do_not(steps):
    for shift in np.ndindex(3, 3, 3):
        mask = np.zeros((4, 3, 3), np.uint8)
        mask[1, 1, 1] = mask[shift] = 1
        assert streamed(mask, steps=steps) == whole(mask)
    mask = np.zeros((2, 2, 4), np.uint8)
    mask[0, 0, 3] = mask[0, 1, 0] = mask[1, 0, 0] = 1  # neighbors in memory, not in the slice
    assert streamed(mask, steps=steps) == whole(mask) == [(2, 2)]


def test_a_corner_joins_and_an_empty_slice_parts():
    mask = np.zeros((4, 3, 3), np.uint8)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[3, 1, 1] = 1
    assert streamed(mask) == [(2, 2)]
    assert streamed(np.zeros((2, 3, 3), np.uint8)) == [(0, 0)]
    assert streamed(np.ones((1, 1, 1), np.uint8)) == [(1, 1)]


def test_memory_is_that_of_a_slice():
    random = np.random.default_rng(0)
    count, last = StreamingComponentCounter(1), np.zeros((0, 40, 50), np.uint8)
    for _ in range(40):
        new = (random.random((1, 40, 50)) < 0.1).astype(np.uint8)
        stack = np.concatenate([last, new])
        runs = SliceRuns(stack, n_joined=len(last))
        count.add(runs, np.zeros(len(runs.starts), np.intp), len(stack))
        last = new
    assert count.n_finished[0] > 1000
    assert len(count._sizes) < 250
