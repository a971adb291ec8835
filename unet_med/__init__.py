"""Slice-wise segmentation of medical volumes with a 2D U-Net, as a MONAI plugin.

Importing this package loads neither torch nor monai and registers nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from unet_med._version import __version__

if TYPE_CHECKING:
    from unet_med.api import Segmentation, Segmenter, evaluate, load, plan, report, segment, train

__all__ = [
    "Segmentation",
    "Segmenter",
    "__version__",
    "evaluate",
    "load",
    "plan",
    "report",
    "segment",
    "train",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names in __all__
    """Import the public names of `unet_med.api` on first use."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.api"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
