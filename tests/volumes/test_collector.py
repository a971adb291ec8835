"""Maps collected slab by slab, in memory and in temporary files."""

from __future__ import annotations

import numpy as np
import pytest

from unet_med.volumes import MapCollector, collector


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("spooled", [False, True])
@pytest.mark.parametrize("block", [1, 1 << 20])
def test_maps_leave_as_files_have_them(monkeypatch, axis, spooled, block):
    if spooled:
        monkeypatch.setattr(collector, "LARGEST_KEPT_BYTES", 0)
    monkeypatch.setattr(collector, "BLOCK_BYTES", block)
    monkeypatch.setattr(collector, "PIECE_BYTES", 100)
    maps = np.random.default_rng(axis).integers(0, 256, (3, 6, 7, 8)).astype(np.uint8)
    collected = MapCollector((6, 7, 8), 3, axis=axis)
    size = maps.shape[axis + 1]
    for start in range(0, size, 3):
        collected.add(np.take(maps, range(start, min(start + 3, size)), axis=axis + 1))
    planes = list(collected.planes())
    collected.close()
    found = np.concatenate(planes, axis=2).reshape(6, 7, 3, 8).transpose(2, 0, 1, 3)
    np.testing.assert_array_equal(found, maps)
    assert max(plane.shape[2] for plane in planes) == 2  # pieces, not whole maps
