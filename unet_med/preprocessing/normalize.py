"""From scan units to what the network was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from unet_med.errors import VolumeError
from unet_med.preprocessing.statistics import IntensityRegion, IntensityStatistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

NormalizationMethod = Literal["zscore", "percentile", "fixed", "none"]

_PERCENT_MAXIMUM = 100.0


@dataclass(frozen=True, slots=True)
class Normalization:
    """Choose how one channel is normalized.

    * ``zscore``: subtract the mean, divide by the standard deviation of ``region``, then clip
      to ``low``…``high`` standard deviations where given.
    * ``percentile``: clip to the percentiles ``low``…``high`` of the volume, scale to 0…1.
    * ``fixed``: clip to ``low``…``high`` in scan units, subtract ``mean``, divide by ``std``:
      for CT, whose units mean the same in every scan.
    * ``none``: leave the values.

    Example:
        >>> Normalization("fixed", low=-100.0, high=300.0, mean=40.0, std=80.0).method
        'fixed'
    """

    method: NormalizationMethod = "zscore"
    region: IntensityRegion = "all"
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    std: float | None = None

    def __post_init__(self) -> None:
        """Refuse rules that cannot be carried out."""
        if self.method not in get_args(NormalizationMethod) or self.region not in get_args(
            IntensityRegion
        ):
            msg = (
                f"normalization needs a method in {get_args(NormalizationMethod)} and a region in "
                f"{get_args(IntensityRegion)}, got {self.method!r} and {self.region!r}"
            )
            raise ValueError(msg)
        if self.low is not None and self.high is not None and not self.low < self.high:
            msg = f"normalization needs low < high, got {self.low} and {self.high}"
            raise ValueError(msg)
        if self.method == "percentile" and not self._has_percentiles():
            got = f"{self.low}, {self.high}"
            msg = f"percentile normalization needs 0 <= low < high <= 100, got {got}"
            raise ValueError(msg)
        if self.method == "fixed" and (self.mean is None or not self.std or self.std <= 0):
            msg = f"fixed normalization needs mean and std > 0, got {self.mean} and {self.std}"
            raise ValueError(msg)

    def _has_percentiles(self) -> bool:
        if self.low is None or self.high is None:
            return False
        return self.low >= 0 and self.high <= _PERCENT_MAXIMUM


def normalize(
    voxels: NDArray[np.float32], rule: Normalization, statistics: IntensityStatistics
) -> NDArray[np.float32]:
    """Normalize voxels of one channel, whatever their shape; the input is left alone.

    NaN and infinite voxels become the smallest finite value of the volume (air) first.

    Args:
        voxels: Any shape, float32, in scan units.
        rule: The channel's rule from the recipe.
        statistics: Of the whole volume's channel.

    Returns:
        The same shape, float32, finite.

    Raises:
        VolumeError: The statistics cannot serve the rule (no finite voxel, all equal).

    Example:
        >>> statistics = IntensityStatistics()
        >>> statistics.add(np.array([[0.0, 2.0]], np.float32))
        >>> voxels = np.array([0.0, 1.0, 2.0], np.float32)
        >>> normalize(voxels, Normalization("zscore"), statistics).tolist()
        [-1.0, 0.0, 1.0]
    """
    background = np.float32(statistics.region("all").minimum)
    finite = np.where(np.isfinite(voxels), voxels, background).astype(np.float32, copy=False)
    scale, offset, low, high = _linear_map(rule, statistics)
    mapped = (finite - np.float32(offset)) * np.float32(1.0 / scale)
    if low is None and high is None:
        return mapped
    return np.asarray(np.clip(mapped, low, high, dtype=np.float32))


def _linear_map(
    rule: Normalization, statistics: IntensityStatistics
) -> tuple[float, float, float | None, float | None]:
    """Return (scale, offset, low, high): (x - offset) / scale, clipped after."""
    if rule.method == "none":
        return 1.0, 0.0, None, None
    if rule.method == "fixed":
        mean, std = float(rule.mean or 0.0), float(rule.std or 1.0)
        low = None if rule.low is None else (rule.low - mean) / std
        high = None if rule.high is None else (rule.high - mean) / std
        return std, mean, low, high
    if rule.method == "percentile":
        bottom = statistics.percentile(float(rule.low or 0.0))
        top = statistics.percentile(float(rule.high or _PERCENT_MAXIMUM))
        if top <= bottom:
            msg = (
                f"percentiles {rule.low} and {rule.high} of the scan are both {bottom:g}: "
                "nothing to normalize; use another rule"
            )
            raise VolumeError(msg)
        return top - bottom, bottom, 0.0, 1.0
    region = statistics.region(rule.region)
    if region.std == 0:
        msg = (
            f"all voxels of the region {rule.region!r} are {region.mean:g}: nothing to "
            "normalize; use another region"
        )
        raise VolumeError(msg)
    return region.std, region.mean, rule.low, rule.high
