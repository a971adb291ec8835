"""What is measured unless told otherwise: the demo scan, every model that this processor runs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from unet_med.backends.openvino_backend import openvino_core
from unet_med.backends.precision_report import MODELS, load_precision_report
from unet_med.bundle import WEIGHTS, demo_data

if TYPE_CHECKING:
    from pathlib import Path


def demo_scan() -> Path:
    """Return the scan that comes with the program."""
    return next((demo_data() / "images").glob("*.nii.gz"))


def precisions_here(bundle: Path) -> list[str]:
    """Return the precisions of a bundle's export that are run as what they are called."""
    files = load_precision_report(bundle / WEIGHTS).files
    known = [name for name, stem in MODELS.items() if f"{stem}.xml" in files]
    if "BF16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        known = [name for name in known if name != "bf16"]  # OpenVINO would quietly use fp32
    return known


def parse_size(text: str) -> tuple[int, int]:
    """Parse ``512x384`` as rows and columns."""
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        msg = f"{text!r} is no size; write rows x columns, for example 512x512"
        raise argparse.ArgumentTypeError(msg)
    return int(height), int(width)
