"""Blank slices are run once; which they are, and what comes back in their place."""

from __future__ import annotations

import numpy as np

from unet_med.inference.blank import BlankSlices


def network(calls):
    """A network whose logits name the call and the place in it."""

    def run(slices):
        calls.append(len(slices))
        mean = slices.mean((1, 2, 3), keepdims=True)
        return np.broadcast_to(mean, (len(slices), 2, *slices.shape[2:])).copy()

    return run


def slices_of(*values):
    """Slices (2, 3, 4): a number is a blank one, None one with content."""
    rng = np.random.default_rng(0)
    return np.stack(
        [
            rng.normal(size=(2, 3, 4)) if value is None else np.full((2, 3, 4), value)
            for value in values
        ]
    ).astype(np.float32)


def test_equal_blank_slices_are_run_once():
    calls, blank = [], BlankSlices()
    run = network(calls)
    batches = [
        (slices_of(-1, -1, None, -1), 2),
        (slices_of(-1, -1), None),  # known from before: no call
        (slices_of(None, None), 2),
        (slices_of(-1, 5, 5, -1), 1),
        (slices_of(-1), None),
        (slices_of(5, None), 2),  # the last one is kept, and no other
    ]
    for batch, n_run in batches:
        before = len(calls)
        np.testing.assert_array_equal(blank.run(batch, run), network([])(batch))
        assert calls[before:] == ([] if n_run is None else [n_run])


def test_channels_may_be_blank_in_different_values():
    calls, blank = [], BlankSlices()
    batch = slices_of(0, 0, 0)
    batch[:2, 1] = 3
    np.testing.assert_array_equal(blank.run(batch, network(calls)), network([])(batch))
    assert calls == [2]


def test_a_single_other_voxel_makes_a_slice_not_blank():
    for place in np.ndindex(2, 3, 4):
        calls, blank = [], BlankSlices()
        batch = slices_of(1, 1)
        batch[(1, *place)] = 2
        np.testing.assert_array_equal(blank.run(batch, network(calls)), network([])(batch))
        assert calls == [2]


def test_what_is_handed_out_is_not_what_is_kept():
    blank = BlankSlices()
    batch = slices_of(4)
    first = blank.run(batch, network([]))
    expected = first.copy()
    first[:] = 9
    again = blank.run(slices_of(4, 4), network([]))
    np.testing.assert_array_equal(again, np.concatenate([expected, expected]))
    again[:] = 9
    np.testing.assert_array_equal(blank.run(batch, network([])), expected)
