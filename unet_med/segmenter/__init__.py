"""One case end to end: scan in, labels with proven geometry out."""

from __future__ import annotations

from unet_med.segmenter.calibrating import Calibration, calibrate
from unet_med.segmenter.case import OpenCase
from unet_med.segmenter.loading import SegmenterLoader, load_segmenter, resolve_segmenter
from unet_med.segmenter.maps import check_map_kinds
from unet_med.segmenter.members import Member, open_bundles
from unet_med.segmenter.provenance import mask_provenance
from unet_med.segmenter.results import CaseFacts, Segmentation
from unet_med.segmenter.segmenter import Segmenter

__all__ = [
    "Calibration",
    "CaseFacts",
    "Member",
    "OpenCase",
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
