"""Test a new format or backend against its contract: subclass a class of checks."""

from __future__ import annotations

from unet_med.testing.predictors import PredictorContract
from unet_med.testing.readers import ReaderContract

__all__ = ["PredictorContract", "ReaderContract"]
