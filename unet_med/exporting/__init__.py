"""Models for other runtimes, made from a bundle's weights, with a report of how far they differ."""

from __future__ import annotations

from unet_med.exporting.exporter import ExportResult, ExportSettings, export_bundle

__all__ = ["ExportResult", "ExportSettings", "export_bundle"]
