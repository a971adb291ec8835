"""Cases: from what somebody typed to examinations with their files, the same for every door."""

from __future__ import annotations

from unet_med.cases.case import Case, CaseList
from unet_med.cases.find import find_cases

__all__ = ["Case", "CaseList", "find_cases"]
