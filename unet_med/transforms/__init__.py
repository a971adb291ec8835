"""MONAI transforms over the pure steps: one implementation for every door.

Each has an array form and a dictionary form (``…d``), as MONAI's own transforms have.
"""

from __future__ import annotations

from unet_med.transforms.dictionary import (
    LoadVolumed,
    NormalizeVolumed,
    ResampleInPlaned,
    SaveMaskd,
    StackContextd,
)
from unet_med.transforms.intensity import NormalizeVolume
from unet_med.transforms.reading import LoadVolume
from unet_med.transforms.spatial import ResampleInPlane, StackContext
from unet_med.transforms.writing import SaveMask

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
