"""What people look at: reports in HTML, and pictures of single slices."""

from __future__ import annotations

from unet_med.reporting.overlay import write_overlay
from unet_med.reporting.overlays import write_overlays
from unet_med.reporting.pages import REPORT_FILE
from unet_med.reporting.ranking import RankedSlice, rank_slices
from unet_med.reporting.scene import CaseFiles, SliceScene, load_scene
from unet_med.reporting.segmented import SegmentedCase
from unet_med.reporting.sources import CaseSources
from unet_med.reporting.write import (
    FindScan,
    ScanFile,
    Written,
    evaluation_sources,
    scans_in,
    write_evaluation_report,
    write_segmentation_report,
)

__all__ = [
    "REPORT_FILE",
    "CaseFiles",
    "CaseSources",
    "FindScan",
    "RankedSlice",
    "ScanFile",
    "SegmentedCase",
    "SliceScene",
    "Written",
    "evaluation_sources",
    "load_scene",
    "rank_slices",
    "scans_in",
    "write_evaluation_report",
    "write_overlay",
    "write_overlays",
    "write_segmentation_report",
]
