"""Cases: find scans and labeled data sets, pair images with labels, check them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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
    from unet_med.cases.check import CheckedCases, as_dict, check_cases, label_table
    from unet_med.cases.issues import Issue
    from unet_med.cases.stats import CaseStats, ChannelStats

_LAZY = {  # names whose modules load SciPy
    "CaseStats": "stats",
    "ChannelStats": "stats",
    "CheckedCases": "check",
    "Issue": "issues",
    "as_dict": "check",
    "check_cases": "check",
    "label_table": "check",
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
    "as_dict",
    "case_id",
    "check_cases",
    "find_cases",
    "find_masks",
    "find_training_cases",
    "label_table",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names in _LAZY
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
