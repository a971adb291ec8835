"""The Python API: one function per command, each a thin call into the packages below.

The signature and the docstring of a function are the options of its command. Importing this package
loads only the standard library; the functions import what they need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet_med._lazy import lazy_exports
from unet_med.api.bundles import calibrate, export
from unet_med.api.evaluation import Evaluation, evaluate, report
from unet_med.api.inspection import Verification, info, verify
from unet_med.api.segmentation import segment
from unet_med.api.training import plan, train

if TYPE_CHECKING:
    from unet_med.segmenter import Segmentation, Segmenter
    from unet_med.segmenter import load_segmenter as load

__all__ = [
    "Evaluation",
    "Segmentation",
    "Segmenter",
    "Verification",
    "calibrate",
    "evaluate",
    "export",
    "info",
    "load",
    "plan",
    "report",
    "segment",
    "train",
    "verify",
]

__getattr__, __dir__ = lazy_exports(
    __name__, {"Segmentation": "results", "Segmenter": "results", "load": "results"}
)
