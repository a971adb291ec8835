"""Labeled data sets: found as they lie, read once, checked."""

from __future__ import annotations

from unet_med.dataset.case import FoundCases, LabeledCase, Naming, Unpaired
from unet_med.dataset.check import CheckedCases, as_dict, check_cases, label_table
from unet_med.dataset.find import find_training_cases
from unet_med.dataset.findings import Finding
from unet_med.dataset.survey import CaseSurvey, ChannelSurvey

__all__ = [
    "CaseSurvey",
    "ChannelSurvey",
    "CheckedCases",
    "Finding",
    "FoundCases",
    "LabeledCase",
    "Naming",
    "Unpaired",
    "as_dict",
    "check_cases",
    "find_training_cases",
    "label_table",
]
