"""One case end to end: scan in, labels with verified geometry out."""

from __future__ import annotations

from unet_med.segmenter.bundles import LoadedBundle, mask_provenance, open_bundles
from unet_med.segmenter.calibration import Calibration, calibrate
from unet_med.segmenter.case import CaseInference
from unet_med.segmenter.loader import SegmenterLoader, load_segmenter, resolve_segmenter
from unet_med.segmenter.results import CaseReport, Segmentation, check_map_kinds
from unet_med.segmenter.segmenter import Segmenter

__all__ = [
    "Calibration",
    "CaseInference",
    "CaseReport",
    "LoadedBundle",
    "Segmentation",
    "Segmenter",
    "SegmenterLoader",
    "calibrate",
    "check_map_kinds",
    "load_segmenter",
    "mask_provenance",
    "open_bundles",
    "resolve_segmenter",
]
