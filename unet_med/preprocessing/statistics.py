"""Whole-volume intensity statistics, taken in one pass that does not depend on how it is cut.

Every plane of the file (one index along the third array axis) is counted by itself, its
voxels in Fortran order, and the counts are added up in file order. So the result is the same
for any slab size, for a file read lazily and for an array in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from unet_med.errors import VolumeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

IntensityRegion = Literal["all", "nonzero", "above_mean"]

_N_BINS = 1 << 16
_INTEGER_LOW, _INTEGER_HIGH = -(1 << 15), (1 << 16) - 1
"""Integers in this range (int16 and uint16 together) are counted one by one."""


@dataclass(frozen=True, slots=True)
class RegionStatistics:
    """Hold mean, deviation and extremes of one channel, for normalization.

    Example:
        >>> RegionStatistics(mean=1.0, std=1.0, minimum=0.0, maximum=2.0, n_voxels=2).n_voxels
        2
    """

    mean: float
    std: float
    minimum: float
    maximum: float
    n_voxels: int


@dataclass(slots=True)
class IntensityStatistics:
    """Count the intensities of one channel in a histogram.

    Integers are counted exactly, floats in bins of 1/128 relative width. A float's bin is the
    leading 16 bits of its float32 pattern; each bin also keeps the sum and the sum of squares of
    its voxels in float64, so means and deviations over whole bins are exact to float64.
    NaN and infinite voxels are left out and counted.

    Example:
        >>> statistics = IntensityStatistics()
        >>> statistics.add(np.array([[0, 2], [4, 6]], np.float32))
        >>> statistics.region("nonzero").mean, statistics.percentile(50)
        (4.0, 2.0)
    """

    n_nonfinite: int = 0
    _integers: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(_INTEGER_HIGH - _INTEGER_LOW + 1, np.int64)
    )
    _bins: NDArray[np.float64] | None = None
    _occupied: NDArray[np.float64] | None = None  # asked for again with every slab normalized

    def add(self, plane: NDArray[np.float32]) -> None:
        """Count the voxels of one plane of the file.

        Args:
            plane: Voxels (i, j), float32, in the file's own order.
        """
        self._occupied = None
        values = np.asarray(plane, np.float32).ravel(order="F")
        finite = np.isfinite(values)
        if not finite.all():
            self.n_nonfinite += int(values.size - np.count_nonzero(finite))
            values = values[finite]
        if _all_small_integers(values):
            offsets = values.astype(np.int64) - _INTEGER_LOW
            self._integers += np.bincount(offsets, minlength=self._integers.size)
        else:
            bins = _float_bins(values)
            self._bins = bins if self._bins is None else self._bins + bins

    def join(self, other: IntensityStatistics) -> None:
        """Count the voxels that another one has counted, too."""
        self._occupied = None
        self.n_nonfinite += other.n_nonfinite
        self._integers += other._integers
        if other._bins is not None:
            self._bins = other._bins.copy() if self._bins is None else self._bins + other._bins

    @property
    def n_voxels(self) -> int:
        """Finite voxels counted so far."""
        bins = 0 if self._bins is None else int(self._bins[0].sum())
        return int(self._integers.sum()) + bins

    @property
    def n_zero(self) -> int:
        """Voxels that are 0, or too small to be told from it."""
        bins = 0 if self._bins is None else int(self._bins[0, _N_BINS // 2])
        return int(self._integers[-_INTEGER_LOW]) + bins

    def region(self, region: IntensityRegion = "all") -> RegionStatistics:
        """Return the statistics of a region.

        Args:
            region: ``all`` finite voxels, the ``nonzero`` ones, or those ``above_mean``: above
                the mean of all finite voxels, which leaves out most of the air.

        Returns:
            Mean, population standard deviation, extremes and count.

        Raises:
            VolumeError: There is no finite voxel, all are equal, or they lie so close together that
                none is known to be in the region.
        """
        bins = self._table()
        if bins.size == 0:
            msg = "the scan has no finite voxel: nothing to normalize; check the file"
            raise VolumeError(msg)
        if _spread(bins) == 0:
            value = bins[1, 0] / bins[0, 0]
            msg = f"all finite voxels of the scan are {value:g}: nothing to segment; check the file"
            raise VolumeError(msg)
        means = bins[1] / bins[0]
        if region == "nonzero":
            bins = bins[:, means != 0]
        elif region == "above_mean":
            bins = bins[:, means > bins[1].sum() / bins[0].sum()]
        if bins.size == 0:  # all values in the bin of their mean
            msg = (
                f"the values of the scan, all about {means[0]:g}, lie too close together to tell "
                f"the region {region!r} apart: subtract a constant, or use region 'all'"
            )
            raise VolumeError(msg)
        return _reduce(bins)

    def percentile(self, percent: float) -> float:
        """Return the value below which ``percent`` (0–100) of the finite voxels lie.

        Raises:
            VolumeError: There is no finite voxel.
        """
        bins = self._table()
        if bins.size == 0:
            msg = "the scan has no finite voxel: nothing to normalize; check the file"
            raise VolumeError(msg)
        cumulative = np.cumsum(bins[0])
        index = int(np.searchsorted(cumulative, cumulative[-1] * percent / 100.0))
        index = min(index, bins.shape[1] - 1)
        return float(bins[1, index] / bins[0, index])

    def _table(self) -> NDArray[np.float64]:
        """Return (count, sum, sum of squares) of the occupied bins, ascending, shape (3, n)."""
        if self._occupied is None:
            self._occupied = self._count_occupied()
        return self._occupied

    def _count_occupied(self) -> NDArray[np.float64]:
        if self._bins is None:
            occupied = np.flatnonzero(self._integers)
            counts = self._integers[occupied].astype(np.float64)
            values = (occupied + _INTEGER_LOW).astype(np.float64)
            return np.stack([counts, counts * values, counts * values**2])
        bins = self._bins.copy()
        occupied = np.flatnonzero(self._integers)
        if occupied.size:  # some planes held whole numbers only: move them into the float bins
            values = (occupied + _INTEGER_LOW).astype(np.float64)
            counts = self._integers[occupied].astype(np.float64)
            keys = _float_keys(values.astype(np.float32))
            for row, weights in enumerate((counts, counts * values, counts * values**2)):
                bins[row] += np.bincount(keys, weights, minlength=_N_BINS)
        return bins[:, bins[0] > 0]


def _all_small_integers(values: NDArray[np.float32]) -> bool:
    if values.size == 0:
        return True
    low, high = float(values.min()), float(values.max())
    in_range = low >= _INTEGER_LOW and high <= _INTEGER_HIGH
    return in_range and bool(np.array_equal(values, np.rint(values)))


def _float_keys(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the leading 16 bits of float32 patterns, mapped so that keys ascend with values."""
    patterns = (values + np.float32(0)).view(np.uint32) >> 16  # + 0 makes -0 a plain 0
    negative = patterns >= _N_BINS // 2
    return np.where(negative, _N_BINS - 1 - patterns, patterns + _N_BINS // 2).astype(np.int64)


def _float_bins(values: NDArray[np.float32]) -> NDArray[np.float64]:
    keys = _float_keys(values)
    exact = values.astype(np.float64)
    weights = (None, exact, exact**2)
    return np.stack([np.bincount(keys, w, minlength=_N_BINS).astype(np.float64) for w in weights])


def _spread(bins: NDArray[np.float64]) -> float:
    """Return the largest minus the smallest bin mean, or the deviation inside a single bin."""
    if bins.shape[1] > 1:
        return float(bins[1, -1] / bins[0, -1] - bins[1, 0] / bins[0, 0])
    return _reduce(bins).std


def _reduce(bins: NDArray[np.float64]) -> RegionStatistics:
    count, total = float(bins[0].sum()), float(bins[1].sum())
    mean = total / count
    # Sum of squared deviations, bin by bin: sum x² - 2 m sum x + n m², without cancellation
    # between far apart bins.
    means = bins[1] / bins[0]
    within = np.maximum(bins[2] - bins[0] * means**2, 0.0)
    within[bins[0] == 1] = 0.0
    between = bins[0] * (means - mean) ** 2
    spread = float((within + between).sum())
    # Rounding of the squares must not look like a spread in a bin of equal values.
    tiny = float(bins[2].sum()) * 1e-12
    variance = spread / count if spread > tiny else 0.0
    return RegionStatistics(
        mean=mean,
        std=variance**0.5,
        minimum=float(means[0]),
        maximum=float(means[-1]),
        n_voxels=int(count),
    )
