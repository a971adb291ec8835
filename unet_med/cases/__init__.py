"""Cases: find scans and labeled data sets, pair images with labels, check them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from unet_med.cases.case import (
    Case,
    CaseList,
    DatasetInfo,
    LabeledCase,
    LabeledCaseList,
    UnpairedCase,
)
from unet_med.cases.find import find_cases
from unet_med.cases.find_training import find_training_cases
from unet_med.cases.walk import case_id, find_masks

if TYPE_CHECKING:
    from unet_med.cases.check import CheckedCases, check_cases
    from unet_med.cases.issues import Issue
    from unet_med.cases.stats import CaseStats, ChannelStats

_LAZY = {  # names whose modules load SciPy
    "CaseStats": "stats",
    "ChannelStats": "stats",
    "CheckedCases": "check",
    "Issue": "issues",
    "check_cases": "check",
}

__all__ = [
    "Case",
    "CaseList",
    "CaseStats",
    "ChannelStats",
    "CheckedCases",
    "DatasetInfo",
    "Issue",
    "LabeledCase",
    "LabeledCaseList",
    "UnpairedCase",
    "case_id",
    "check_cases",
    "find_cases",
    "find_masks",
    "find_training_cases",
]


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
