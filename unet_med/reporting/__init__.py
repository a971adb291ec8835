"""Write reports in HTML, and overlays of single slices as PNG."""

from __future__ import annotations

from unet_med.reporting.case_sources import CaseSources
from unet_med.reporting.html_report import REPORT_FILE
from unet_med.reporting.overlay import write_overlay
from unet_med.reporting.segmentation_report import SegmentedCase
from unet_med.reporting.slice_images import RankedSlice, rank_slices, write_overlays
from unet_med.reporting.slice_view import CaseFiles, SliceView, load_slice_view
from unet_med.reporting.writer import (
    FindScan,
    ScanFile,
    WrittenReport,
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
    "SliceView",
    "WrittenReport",
    "evaluation_sources",
    "load_slice_view",
    "rank_slices",
    "scans_in",
    "write_evaluation_report",
    "write_overlay",
    "write_overlays",
    "write_segmentation_report",
]
