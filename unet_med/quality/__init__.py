"""How good labels look when there is no reference to compare them with."""

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
from unet_med.quality.case import LOOK_BELOW, LabelQuality, Quality, QualityWatch
from unet_med.quality.components import ComponentCount
from unet_med.quality.outside import intensity_warnings, scan_warnings, volume_warnings
from unet_med.quality.probabilities import label_probabilities, probabilities_and_entropy
from unet_med.quality.reasons import Doubt
from unet_med.quality.tally import expected_dice

__all__ = [
    "LOOK_BELOW",
    "MAX_SAMPLE",
    "ComponentCount",
    "Doubt",
    "LabelQuality",
    "Quality",
    "QualityWatch",
    "Reliability",
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
