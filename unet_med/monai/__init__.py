"""Everything that MONAI names in a config or an import: ``_target_: unet_med.monai.LoadVolumed``.

Names are loaded on first use; importing this package loads neither torch nor MONAI.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unet_med.monai import handlers, inferer, metrics, transforms
    from unet_med.monai.handlers import SliceMetricsSaver, WeightsLoader
    from unet_med.monai.inferer import SlicewiseInferer
    from unet_med.monai.metrics import SliceDiceMetric
    from unet_med.monai.transforms import (
        LoadVolume,
        LoadVolumed,
        NormalizeVolume,
        NormalizeVolumed,
        ResampleInPlane,
        ResampleInPlaned,
        SaveMask,
        SaveMaskd,
        StackContext,
        StackContextd,
    )

_MODULES = ("handlers", "inferer", "metrics", "transforms")
_LAZY = {
    "LoadVolume": "transforms",
    "LoadVolumed": "transforms",
    "NormalizeVolume": "transforms",
    "NormalizeVolumed": "transforms",
    "ResampleInPlane": "transforms",
    "ResampleInPlaned": "transforms",
    "SaveMask": "transforms",
    "SaveMaskd": "transforms",
    "SliceDiceMetric": "metrics",
    "SliceMetricsSaver": "handlers",
    "SlicewiseInferer": "inferer",
    "StackContext": "transforms",
    "StackContextd": "transforms",
    "WeightsLoader": "handlers",
}

__all__ = [
    "LoadVolume",
    "LoadVolumed",
    "NormalizeVolume",
    "NormalizeVolumed",
    "ResampleInPlane",
    "ResampleInPlaned",
    "SaveMask",
    "SaveMaskd",
    "SliceDiceMetric",
    "SliceMetricsSaver",
    "SlicewiseInferer",
    "StackContext",
    "StackContextd",
    "WeightsLoader",
    "handlers",
    "inferer",
    "metrics",
    "transforms",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names in __all__
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
