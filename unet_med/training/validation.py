"""Whole volumes for the validation of a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from unet_med.preprocessing import IntensityStatistics, normalise

if TYPE_CHECKING:
    from unet_med.recipe import Recipe


class NormaliseCase:
    """Normalise the loaded image (C, i, j, k) of a case as inference does, channel by channel."""

    def __init__(self, recipe: Recipe, key: str = "image") -> None:
        """Build the transform.

        Args:
            recipe: Has one normalisation rule a channel.
            key: Which entry of the case.
        """
        self.recipe = recipe
        self.key = key

    def __call__(self, case: dict[str, Any]) -> dict[str, Any]:
        """Return the case with its image normalised, float32; the input is left alone."""
        image = case[self.key]
        volume = np.asarray(image, np.float32)
        channels = []
        for channel, rule in zip(volume, self.recipe.channels, strict=True):
            statistics = IntensityStatistics()
            for k in range(channel.shape[2]):
                statistics.add(channel[:, :, k])
            channels.append(normalise(channel, rule.normalisation, statistics))
        normalised = image.clone()
        normalised[:] = torch.from_numpy(np.stack(channels))
        return {**case, self.key: normalised}
