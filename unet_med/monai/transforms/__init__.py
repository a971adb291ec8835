"""MONAI transforms over the steps that every interface runs.

Each has an array form and a dictionary form (``…d``), as MONAI's own transforms have.
"""

from __future__ import annotations

from unet_med.monai.transforms.dictionary import (
    LoadVolumed,
    NormalizeVolumed,
    ResampleInPlaned,
    SaveMaskd,
    StackContextd,
)
from unet_med.monai.transforms.io import LoadVolume, SaveMask
from unet_med.monai.transforms.preprocessing import NormalizeVolume, ResampleInPlane, StackContext

__all__ = [
    "LoadVolume",
    "LoadVolumed",
    "NormalizeVolume",
    "NormalizeVolumed",
    "ResampleInPlane",
    "ResampleInPlaned",
    "SaveMask",
    "SaveMaskd",
    "StackContext",
    "StackContextd",
]
