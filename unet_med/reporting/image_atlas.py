"""A scan as pictures for a page: 8 bits a voxel, lossy, good for the eye and for nothing else.

Values become 256 codes whose steps are finer where voxels are many, so that a narrow window, such
as that of soft tissue in CT, keeps its gray levels. Masks never go this way.
"""

from __future__ import annotations

import base64
import io
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from unet_med.geometry import SliceLayout
    from unet_med.volumes import Volume

    Codes = NDArray[np.uint8]

ATLAS_BYTES = 6_000_000
"""Largest size of all pictures of a case; in a page they take a third more. Larger ones are
reduced in the plane of the slices, by the mean of whole blocks of voxels."""

CLIP_PERCENT = (0.05, 99.95)
"""Values beyond are shown as these: a few extreme voxels would take most codes."""

WINDOW_PERCENT = (0.5, 99.5)
"""Values that are black and white at first."""

WEBP_QUALITY = 82
"""Of WebP; below 75 fine texture of noisy scans is visibly smoothed away."""

_SAMPLED_SLICES = 12
_ATLAS_PIXELS = 2_000_000
_LONGEST_SIDE = 16_000  # WebP ends at 16383
_FINE_BINS = 4096


@dataclass(frozen=True, slots=True)
class GrayScale:
    """What the 256 codes mean.

    Attributes:
        values: Scan value of each code, increasing, shape (256,).
        window: Values that are black and white at first.
    """

    values: NDArray[np.float64]
    window: tuple[float, float]

    @classmethod
    def of(cls, sample: NDArray[np.float32]) -> GrayScale:
        """Choose codes by the values of some slices."""
        finite = sample[np.isfinite(sample)].astype(np.float64)
        if not finite.size:
            finite = np.zeros(1)
        low, high = np.percentile(finite, CLIP_PERCENT)
        high = max(high, low + max(abs(low), 1.0) * 1e-6)
        # Half of the codes are spread evenly over the range, half over the voxels.
        fine = np.linspace(low, high, _FINE_BINS)
        below = np.searchsorted(np.sort(np.clip(finite, low, high)), fine, side="right")
        share = (below / finite.size + np.linspace(0, 1, _FINE_BINS)) / 2
        values = np.interp(np.linspace(share[0], 1, 256), share, fine)
        first, last = np.percentile(finite, WINDOW_PERCENT)
        return cls(values, (float(first), float(max(last, first + (high - low) * 1e-3))))

    def encode(self, slices: NDArray[np.float32]) -> Codes:
        """Return the code nearest to each value; what is not finite gets the lowest."""
        low, high = self.values[0], self.values[-1]
        fine = np.linspace(low, high, _FINE_BINS)
        middles = (self.values[1:] + self.values[:-1]) / 2
        table = np.searchsorted(middles, fine).astype(np.uint8)
        scaled = (slices - np.float32(low)) * np.float32((_FINE_BINS - 1) / (high - low))
        known = np.nan_to_num(scaled, nan=0.0, posinf=_FINE_BINS, neginf=0.0)
        codes: Codes = table[np.clip(np.rint(known), 0, _FINE_BINS - 1).astype(np.uint16)]
        return codes


def image_atlas(scan: Volume, layout: SliceLayout) -> dict[str, Any]:
    """Return a scan's first channel as pictures, JSON-ready.

    Args:
        scan: The scan.
        layout: How it is cut; the slices come in this order.

    Returns:
        ``atlases`` (base64, slices stacked from top to bottom, row 0 on top), ``mime``,
        ``slices_per_atlas``, ``shape`` (n, H, W) of the reduced slices, ``factor`` of the reduction
        in the plane, ``values`` per code and ``window``.
    """
    n_slices = layout.n_slices(scan.geometry)
    chosen = np.unique(np.linspace(0, n_slices - 1, _SAMPLED_SLICES).astype(int))
    sample = np.concatenate([_slices(scan, layout, n, stop=n + 1) for n in chosen])
    scale = GrayScale.of(sample)
    factor = _factor(scale.encode(sample), scale=scale, sample=sample, n_slices=n_slices)
    rows, columns = (-(-size // factor) for size in sample.shape[1:])
    per_atlas = max(1, min(_ATLAS_PIXELS // (rows * columns), _LONGEST_SIDE // rows, n_slices))
    atlases = []
    for start, stop in slice_ranges(n_slices, per_atlas):
        codes = scale.encode(block_mean(_slices(scan, layout, start, stop=stop), factor))
        atlases.append(base64.b64encode(_compressed(codes)).decode())
    return {
        "atlases": atlases,
        "mime": "image/webp" if _has_webp() else "image/png",
        "slices_per_atlas": per_atlas,
        "shape": [n_slices, rows, columns],
        "factor": factor,
        "values": [float(f"{value:.6g}") for value in scale.values],
        "window": [float(f"{value:.6g}") for value in scale.window],
    }


def block_mean(slices: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return the mean of blocks of factor × factor voxels; the last ones repeat the edge.

    Example:
        >>> block_mean(np.float32([[[0, 2, 5], [0, 2, 5]]]), 2).tolist()
        [[[1.0, 5.0]]]
    """
    if factor == 1:
        return slices
    n, rows, columns = slices.shape
    padded = np.pad(slices, ((0, 0), (0, -rows % factor), (0, -columns % factor)), mode="edge")
    blocks = padded.reshape(n, padded.shape[1] // factor, factor, -1, factor)
    means: NDArray[np.float32] = blocks.mean(axis=(2, 4), dtype=np.float32)
    return means


def _slices(scan: Volume, layout: SliceLayout, start: int, *, stop: int) -> NDArray[np.float32]:
    """Read slices (n, H, W) of the first channel."""
    chunk = scan.read(start, stop, axis=layout.slice_axis)[0]
    return layout.to_slices(chunk)


def _factor(codes: Codes, *, scale: GrayScale, sample: NDArray[np.float32], n_slices: int) -> int:
    """Return the smallest reduction that keeps all pictures below `ATLAS_BYTES`."""
    for factor in itertools.count(1):
        if factor > 1:
            codes = scale.encode(block_mean(sample, factor))
        size = sum(len(_compressed(one[np.newaxis])) for one in codes) / len(codes) * n_slices
        if size <= ATLAS_BYTES or min(codes.shape[1:]) == 1:
            return factor
    raise AssertionError


def _compressed(codes: Codes) -> bytes:
    """Return slices (n, H, W), stacked from top to bottom, as one picture."""
    from PIL import Image

    stream = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(codes).reshape(-1, codes.shape[2]))
    if _has_webp():
        picture.save(stream, "WEBP", quality=WEBP_QUALITY, method=2)
    else:
        picture.save(stream, "PNG")
    return stream.getvalue()


def _has_webp() -> bool:
    from PIL import features

    return bool(features.check("webp"))


def slice_ranges(n_slices: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield [start, stop) ranges of up to ``size`` slices."""
    for start in range(0, n_slices, size):
        yield start, min(start + size, n_slices)
