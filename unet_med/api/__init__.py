"""What the package offers in Python: thin functions over the rooms below, one file a door.

Rooms that `segment` does not need are loaded by the functions that do: it starts a command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unet_med.api.evaluating import EvaluateOptions, evaluate
from unet_med.api.options import AnyPath
from unet_med.api.planning import plan
from unet_med.api.reporting import report, report_scores
from unet_med.api.segmenting import ExecutionOptions, SegmentOptions, segment
from unet_med.api.training import TrainOptions, train
from unet_med.segmenter import Segmentation, Segmenter
from unet_med.segmenter import load_segmenter as load

if TYPE_CHECKING:
    from unet_med.planning import Planned, PlanSettings, Source

__all__ = [
    "AnyPath",
    "EvaluateOptions",
    "ExecutionOptions",
    "PlanSettings",
    "Planned",
    "SegmentOptions",
    "Segmentation",
    "Segmenter",
    "Source",
    "TrainOptions",
    "evaluate",
    "load",
    "plan",
    "report",
    "report_scores",
    "segment",
    "train",
]

_PLANNING = ("PlanSettings", "Planned", "Source")


def __getattr__(name: str) -> Any:  # noqa: ANN401 - module attribute of any type
    """Hand out what `plan` takes and gives, on first use."""
    if name in _PLANNING:
        from unet_med import planning

        return getattr(planning, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
