"""What is measured unless told otherwise: the demo scan, every model that this processor runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet_med.backends.exported import MODELS, usable_receipt
from unet_med.backends.openvino_runtime import openvino_core
from unet_med.bundle import WEIGHTS, demo_data

if TYPE_CHECKING:
    from pathlib import Path


def demo_scan() -> Path:
    """Return the scan that comes with the program."""
    return next((demo_data() / "images").glob("*.nii.gz"))


def precisions_here(bundle: Path) -> list[str]:
    """Return the precisions of a bundle's export that are run as what they are called."""
    files = usable_receipt(bundle / WEIGHTS).files
    known = [name for name, stem in MODELS.items() if f"{stem}.xml" in files]
    if "BF16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        known = [name for name in known if name != "bf16"]  # OpenVINO would quietly use fp32
    return known
