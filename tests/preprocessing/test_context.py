from __future__ import annotations

import numpy as np
import pytest

from unet_med.preprocessing import Context, context_indices, stack_context


@pytest.mark.parametrize(
    ("slices", "reach", "spacing", "expected"),
    [
        (1, 0.0, 3.0, (0,)),
        (3, 2.0, 1.0, (-2, 0, 2)),
        (5, 4.0, 1.0, (-4, -2, 0, 2, 4)),
        (5, 4.0, 0.8, (-5, -3, 0, 3, 5)),
        (5, 4.0, 5.0, (-1, 0, 0, 0, 1)),
        (3, 2.0, 10.0, (0, 0, 0)),
    ],
)
def test_offsets_are_picked_by_distance(slices, reach, spacing, expected):
    assert Context(slices, reach).offsets(spacing) == expected


@pytest.mark.parametrize(("slices", "reach"), [(2, 1.0), (0, 1.0), (-1, 1.0), (3, 0.0), (3, -1.0)])
def test_impossible_context_is_refused(slices, reach):
    with pytest.raises(ValueError, match="context"):
        Context(slices, reach)


def test_the_ends_repeat():
    assert context_indices(0, (-2, 0, 2), 5) == (0, 0, 2)
    assert context_indices(4, (-2, 0, 2), 5) == (2, 4, 4)
    assert context_indices(0, (-2, 0, 2), 1) == (0, 0, 0)


def test_stack_orders_channels_by_offset_then_channel():
    slices = np.arange(4 * 2, dtype=np.float32).reshape(4, 2, 1, 1)  # value = 2·slice + channel
    stacked = stack_context(slices, (-1, 0, 2))
    assert stacked.shape == (4, 6, 1, 1)
    assert stacked[1, :, 0, 0].tolist() == [0, 1, 2, 3, 6, 7]
    assert stacked[3, :, 0, 0].tolist() == [4, 5, 6, 7, 6, 7]
