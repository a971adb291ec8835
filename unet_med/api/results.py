"""Names of the API that load the whole package; `unet_med.api` loads them on first use."""

from __future__ import annotations

from unet_med.segmenter import Segmentation, Segmenter
from unet_med.segmenter import load_segmenter as load

__all__ = ["Segmentation", "Segmenter", "load"]
