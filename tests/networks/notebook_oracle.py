"""The notebook's network, written plainly from its description: the oracle for UNet2D.

An encoder of dual convolutions, each followed by 2×2 max pooling; a bottleneck of twice the last
width; a decoder that alternates transposed convolutions, whose result is concatenated in front
of the encoder's, with dual convolutions; and a final 1×1 convolution. Sizes must be divisible by
2^levels. Only the module names are fixed: they are the keys of the weights.
"""

from __future__ import annotations

import torch
from torch import nn


class OracleDualConv(nn.Module):
    """Twice: 3×3 convolution without bias, batch normalization, ReLU."""

    def __init__(self, n_in, n_out):
        super().__init__()
        layers = []
        for channels in (n_in, n_out):
            layers.append(nn.Conv2d(channels, n_out, 3, padding=1, bias=False))
            layers.append(nn.BatchNorm2d(n_out))
            layers.append(nn.ReLU(inplace=True))
        self.block = nn.Sequential(*layers)

    def forward(self, x):
        return self.block(x)


class OracleUnet(nn.Module):
    """The notebook's U-Net, without padding."""

    def __init__(self, in_channels=1, out_channels=1, sizes=(64, 128, 256, 512)):
        super().__init__()
        widths = [in_channels, *sizes]
        self.down = nn.ModuleList(
            OracleDualConv(before, after) for before, after in zip(widths, sizes, strict=False)
        )
        self.up = nn.ModuleList()
        self.bottleneck = OracleDualConv(sizes[-1], 2 * sizes[-1])
        for size in sizes[::-1]:
            self.up.append(nn.ConvTranspose2d(2 * size, size, 2, stride=2))
            self.up.append(OracleDualConv(2 * size, size))
        self.last = nn.Conv2d(sizes[0], out_channels, 1)

    def forward(self, x):
        encoded = []
        for level in self.down:
            encoded.append(level(x))
            x = nn.functional.max_pool2d(encoded[-1], kernel_size=2, stride=2)
        x = self.bottleneck(x)
        for level in range(len(self.down)):
            upsampled = self.up[2 * level](x)
            x = self.up[2 * level + 1](torch.cat((upsampled, encoded[-1 - level]), dim=1))
        return self.last(x)
