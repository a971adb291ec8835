"""Normalization by the statistics of the whole volume."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from monai.transforms import Transform
from monai.utils import convert_to_dst_type, convert_to_numpy

from unet_med.errors import InputError
from unet_med.preprocessing import IntensityStatistics, Normalization, normalize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)


class NormalizeVolume(Transform):  # type: ignore[misc]  # MONAI is untyped
    """Normalize (C, i, j, k) in the file's own order, each channel by its rule of the recipe.

    The result is bit for bit what the command line computes slice by slice. On purpose it is
    not invertible: ``Invertd`` of the preprocessing must not scale a mask.

    Args:
        rules: One `Normalization` per channel, or mappings of its fields.
    """

    def __init__(self, rules: Sequence[Normalization | Mapping[str, Any]]) -> None:
        self.rules = tuple(
            rule if isinstance(rule, Normalization) else Normalization(**rule) for rule in rules
        )

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the normalized volume, float32, with the image's meta data.

        Raises:
            InputError: The image has another number of channels than there are rules.
            VolumeError: A channel has no finite voxel, or all are equal.
        """
        voxels = np.asarray(convert_to_numpy(image), np.float32)
        if voxels.ndim != 4 or len(voxels) != len(self.rules):  # noqa: PLR2004 - C, i, j, k
            msg = (
                f"normalization needs (C, i, j, k) with C = {len(self.rules)}, one per rule, "
                f"got shape {voxels.shape}"
            )
            raise InputError(msg)
        result = np.empty_like(voxels)
        for channel, rule, target in zip(voxels, self.rules, result, strict=True):
            statistics = _statistics(channel)
            if statistics.n_nonfinite:
                logger.warning(
                    "%s: %d voxels are NaN or infinite and were taken as the smallest value",
                    getattr(image, "meta", {}).get("filename_or_obj", "volume"),
                    statistics.n_nonfinite,
                )
            target[:] = normalize(channel, rule, statistics)
        return convert_to_dst_type(result, image, dtype=np.float32)[0]  # type: ignore[no-any-return]


def _statistics(channel: NDArray[np.float32]) -> IntensityStatistics:
    """Count (i, j, k) plane by plane along k, as the streaming reader does."""
    statistics = IntensityStatistics()
    for plane in range(channel.shape[2]):
        statistics.add(channel[..., plane])
    return statistics
