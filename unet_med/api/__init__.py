"""The Python API: one function per command, each a thin call into the packages below.

Packages that `segment` does not need are imported inside the functions that need them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unet_med.api.evaluation import EvaluateOptions, evaluate, report, report_scores
from unet_med.api.options import StrPath
from unet_med.api.segmentation import ExecutionOptions, SegmentOptions, segment
from unet_med.api.training import TrainOptions, plan, train
from unet_med.segmenter import Segmentation, Segmenter
from unet_med.segmenter import load_segmenter as load

if TYPE_CHECKING:
    from unet_med.training.planning import PlannedTraining, PlanSettings, SourceData

__all__ = [
    "EvaluateOptions",
    "ExecutionOptions",
    "PlanSettings",
    "PlannedTraining",
    "SegmentOptions",
    "Segmentation",
    "Segmenter",
    "SourceData",
    "StrPath",
    "TrainOptions",
    "evaluate",
    "load",
    "plan",
    "report",
    "report_scores",
    "segment",
    "train",
]

_PLANNING = ("PlanSettings", "PlannedTraining", "SourceData")


def __getattr__(name: str) -> Any:  # noqa: ANN401 - module attribute of any type
    """Hand out what `plan` takes and gives, on first use."""
    if name in _PLANNING:
        from unet_med.training import planning

        return getattr(planning, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
