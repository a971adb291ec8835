"""The 2D U-Net."""

from __future__ import annotations

from unet_med.networks.unet import DualConv, Unet, UNet2D

__all__ = ["DualConv", "UNet2D", "Unet"]
