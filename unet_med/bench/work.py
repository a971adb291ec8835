"""How much arithmetic the network needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unet_med.recipe import NetworkRecipe


def network_flop(network: NetworkRecipe, height: int, width: int) -> int:
    """Return the floating point operations of one slice, a multiply-add counted as two.

    Only convolutions are counted, as torch's flop counter does; the slice is padded to the
    network's multiple.

    Args:
        network: Channels and sizes.
        height: Rows of the slice.
        width: Columns of the slice.

    Example:
        >>> from unet_med.recipe import NetworkRecipe
        >>> round(network_flop(NetworkRecipe(), 512, 512) / 1e9)
        385
    """
    rows, columns = (-(-side // network.multiple) * network.multiple for side in (height, width))
    pixels = rows * columns
    macs = network.sizes[0] * network.out_channels * pixels
    channels = network.in_channels
    for level, size in enumerate(network.sizes):
        here = pixels >> (2 * level)
        macs += 9 * here * (channels * size + size * size)  # down
        macs += 9 * here * (2 * size * size + size * size)  # up, after the skip is joined
        macs += here * 2 * size * size  # transposed 2×2: one product per output pixel
        channels = size
    deepest = pixels >> (2 * len(network.sizes))
    return 2 * (macs + 9 * deepest * (channels * 2 * channels + 4 * channels * channels))
