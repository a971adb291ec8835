"""Estimate the quality of labels without a reference, and calibrate the probabilities."""

from __future__ import annotations

from unet_med.quality.calibration import (
    MAX_SAMPLE,
    Reliability,
    VoxelSample,
    fit_temperature,
    label_indices,
    negative_log_likelihood,
    reliability,
)
from unet_med.quality.connected_components import StreamingComponentCounter
from unet_med.quality.estimator import REVIEW_BELOW, LabelQuality, Quality, QualityEstimator
from unet_med.quality.flags import QualityFlag
from unet_med.quality.out_of_distribution import intensity_warnings, scan_warnings, volume_warnings
from unet_med.quality.probabilities import label_probabilities, probabilities_and_entropy
from unet_med.quality.score import expected_dice

__all__ = [
    "MAX_SAMPLE",
    "REVIEW_BELOW",
    "LabelQuality",
    "Quality",
    "QualityEstimator",
    "QualityFlag",
    "Reliability",
    "StreamingComponentCounter",
    "VoxelSample",
    "expected_dice",
    "fit_temperature",
    "intensity_warnings",
    "label_indices",
    "label_probabilities",
    "negative_log_likelihood",
    "probabilities_and_entropy",
    "reliability",
    "scan_warnings",
    "volume_warnings",
]
