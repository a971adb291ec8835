"""MONAI transforms over the steps that every interface runs.

Each has an array form and a dictionary form (``…d``), as MONAI's own transforms have.
"""

from __future__ import annotations

from unet_med.monai.transforms.dictionary import (
    LoadVolumeD,
    LoadVolumed,
    LoadVolumeDict,
    NormalizeVolumeD,
    NormalizeVolumed,
    NormalizeVolumeDict,
    ResampleInPlaneD,
    ResampleInPlaned,
    ResampleInPlaneDict,
    SaveMaskD,
    SaveMaskd,
    SaveMaskDict,
    StackContextD,
    StackContextd,
    StackContextDict,
)
from unet_med.monai.transforms.io import LoadVolume, SaveMask
from unet_med.monai.transforms.preprocessing import NormalizeVolume, ResampleInPlane, StackContext

__all__ = [
    "LoadVolume",
    "LoadVolumeD",
    "LoadVolumeDict",
    "LoadVolumed",
    "NormalizeVolume",
    "NormalizeVolumeD",
    "NormalizeVolumeDict",
    "NormalizeVolumed",
    "ResampleInPlane",
    "ResampleInPlaneD",
    "ResampleInPlaneDict",
    "ResampleInPlaned",
    "SaveMask",
    "SaveMaskD",
    "SaveMaskDict",
    "SaveMaskd",
    "StackContext",
    "StackContextD",
    "StackContextDict",
    "StackContextd",
]
