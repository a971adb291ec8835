"""Slice-wise segmentation of medical volumes with a 2D U-Net, as a MONAI plugin.

Importing this package loads neither torch nor monai and registers nothing. Its functions are the
commands of ``unet-med``; its packages are loaded when their name is used.

Example:
    >>> import unet_med
    >>> unet_med.info()["slice_axis"], unet_med.geometry.__name__
    ('axial', 'unet_med.geometry')
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet_med._lazy import lazy_exports
from unet_med._version import __version__

if TYPE_CHECKING:
    from unet_med import (
        bundle,
        evaluation,
        geometry,
        inference,
        metrics,
        monai,
        networks,
        recipe,
        reporting,
        training,
        volumes,
    )
    from unet_med.api import (
        Segmentation,
        Segmenter,
        calibrate,
        evaluate,
        export,
        info,
        load,
        plan,
        report,
        segment,
        train,
        verify,
    )

__all__ = [
    "Segmentation",
    "Segmenter",
    "__version__",
    "bundle",
    "calibrate",
    "evaluate",
    "evaluation",
    "export",
    "geometry",
    "inference",
    "info",
    "load",
    "metrics",
    "monai",
    "networks",
    "plan",
    "recipe",
    "report",
    "reporting",
    "segment",
    "train",
    "training",
    "verify",
    "volumes",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Segmentation": "api",
        "Segmenter": "api",
        "bundle": "",
        "calibrate": "api",
        "evaluate": "api",
        "evaluation": "",
        "export": "api",
        "geometry": "",
        "inference": "",
        "info": "api",
        "load": "api",
        "metrics": "",
        "monai": "",
        "networks": "",
        "plan": "api",
        "recipe": "",
        "report": "api",
        "reporting": "",
        "segment": "api",
        "train": "api",
        "training": "",
        "verify": "api",
        "volumes": "",
    },
)
