"""The bundle folder: its recipe, metadata and weights; `weights` loads torch, this does not."""

from __future__ import annotations

from unet_med.bundle.folder import (
    DEMO,
    METADATA,
    RECIPE,
    WEIGHTS,
    Bundle,
    default_bundle,
    demo_data,
    open_bundle,
)

__all__ = [
    "DEMO",
    "METADATA",
    "RECIPE",
    "WEIGHTS",
    "Bundle",
    "default_bundle",
    "demo_data",
    "open_bundle",
]
