"""Run the network on torch or OpenVINO, chosen by one function for every interface."""

from __future__ import annotations

from unet_med.backends.execution import (
    BACKENDS,
    available_threads,
    load_backend,
    open_predictor,
    resolve_ensemble,
    resolve_execution,
)
from unet_med.backends.hardware import instruction_sets
from unet_med.backends.predictor import Execution, SlicePredictor
from unet_med.backends.selection import PRECISIONS

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "Execution",
    "SlicePredictor",
    "available_threads",
    "instruction_sets",
    "load_backend",
    "open_predictor",
    "resolve_ensemble",
    "resolve_execution",
]
