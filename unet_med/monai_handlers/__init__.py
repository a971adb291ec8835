"""Ignite handlers for MONAI's engines."""

from __future__ import annotations

from unet_med.monai_handlers.scores import SliceScoresWriter
from unet_med.monai_handlers.weights import WeightsLoader

__all__ = ["SliceScoresWriter", "WeightsLoader"]
