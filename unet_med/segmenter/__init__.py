"""One case end to end: scan in, labels with proven geometry out."""

from __future__ import annotations

from unet_med.segmenter.results import CaseFacts, Segmentation
from unet_med.segmenter.segmenter import Segmenter, load_segmenter

__all__ = ["CaseFacts", "Segmentation", "Segmenter", "load_segmenter"]
