"""Everything that MONAI names in a config or an import: ``_target_: unet_med.monai.LoadVolumed``.

Names are loaded on first use; importing this package loads neither torch nor MONAI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet_med._lazy import lazy_exports

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
    "handlers": "",
    "inferer": "",
    "metrics": "",
    "transforms": "",
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

__getattr__, __dir__ = lazy_exports(__name__, _LAZY)
