"""The notebook's 2D U-Net, made scriptable, exportable and able to take images of any size.

Source:
    Ronneberger et al., U-Net, MICCAI 2015, with padded convolutions and batch normalization.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_SIZES = (64, 128, 256, 512)
"""Channels per level of the notebook's network: 31,036,481 parameters."""


class DualConv(nn.Module):
    """Two 3×3 convolutions, each followed by batch normalization and ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Build the block.

        Args:
            in_channels: Channels of the input.
            out_channels: Channels of the output.
        """
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        return self.block(x)  # type: ignore[no-any-return]


class UNet2D(nn.Module):
    """2D U-Net: slices (N, in_channels, H, W) to logits (N, out_channels, H, W), any H and W.

    An axis that is no multiple of 2^levels is padded with zeros at its end and the logits are
    cropped to the input's size; where no padding is needed the output is the notebook's, bit
    for bit. The ``state_dict`` keys are the notebook's.

    Example:
        >>> network = UNet2D(in_channels=1, out_channels=4, sizes=(8, 16)).eval()
        >>> tuple(network(torch.zeros(2, 1, 5, 7)).shape)
        (2, 4, 5, 7)
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        sizes: Sequence[int] = DEFAULT_SIZES,
        *,
        spatial_dims: int = 2,
    ) -> None:
        """Build the network.

        Args:
            in_channels: Channels of a slice, context included.
            out_channels: Channels of the logits.
            sizes: Channels per level, each twice the one before.
            spatial_dims: Accepted for MONAI's signature; must be 2.

        Raises:
            ValueError: ``sizes`` do not double, a count is below 1, or ``spatial_dims`` is not 2.
        """
        super().__init__()
        _check_arguments(in_channels, out_channels, tuple(sizes), spatial_dims)
        self.sizes = tuple(int(size) for size in sizes)
        self.multiple = 2 ** len(self.sizes)
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        channels = in_channels
        for size in self.sizes:
            self.down.append(DualConv(channels, size))
            channels = size
        self.bottleneck = DualConv(self.sizes[-1], 2 * self.sizes[-1])
        for size in reversed(self.sizes):
            self.up.append(nn.ConvTranspose2d(2 * size, size, kernel_size=2, stride=2))
            self.up.append(DualConv(2 * size, size))
        self.last = nn.Conv2d(self.sizes[0], out_channels, kernel_size=1)
        self.pool = nn.MaxPool2d(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map slices (N, in_channels, H, W) float to logits (N, out_channels, H, W)."""
        height, width = x.shape[-2], x.shape[-1]
        # Padding by zero is the identity, so there is no branch: the same graph serves every
        # size when scripted, traced or exported.
        x = nn.functional.pad(x, [0, -width % self.multiple, 0, -height % self.multiple])
        skips: list[torch.Tensor] = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = self.pool(x)
        x = self.bottleneck(x)
        for index, block in enumerate(self.up):  # alternating: ConvTranspose2d, DualConv
            x = block(x)
            if index % 2 == 0:
                x = torch.cat([x, skips.pop()], dim=1)
        return self.last(x)[..., :height, :width]  # type: ignore[no-any-return]


Unet = UNet2D
"""The notebook's name of the network."""


def _check_arguments(
    in_channels: int, out_channels: int, sizes: tuple[int, ...], spatial_dims: int
) -> None:
    if spatial_dims != 2:  # noqa: PLR2004 - the network is two-dimensional
        msg = f"UNet2D segments slices: spatial_dims must be 2, got {spatial_dims}"
        raise ValueError(msg)
    if in_channels < 1 or out_channels < 1:
        msg = f"channels must be at least 1, got in {in_channels} and out {out_channels}"
        raise ValueError(msg)
    doubled = all(after == 2 * before for before, after in pairwise(sizes))
    if not sizes or sizes[0] < 1 or not doubled:
        msg = f"sizes must double per level, e.g. (64, 128, 256, 512), got {sizes}"
        raise ValueError(msg)
