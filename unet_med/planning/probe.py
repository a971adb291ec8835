"""How long a training step takes on this machine, measured."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from unet_med.backends.processor import bf16_pays

if TYPE_CHECKING:
    from unet_med.planning.network import Shape

WARM_UP, REPEATS = 1, 2
MOST_CROPS = 2
"""Crops that are timed; a larger batch takes as many times as long, or a little less."""


def seconds_per_step(shape: Shape) -> float:
    """Measure forward, backward and update of a network on random crops, after a warm-up.

    Args:
        shape: The network and its crops.

    Returns:
        Seconds of a step, from the fastest of `REPEATS`.
    """
    import torch
    from torch.nn import functional as F

    from unet_med.networks import UNet2D

    before = torch.get_num_threads()
    if shape.threads is not None:
        torch.set_num_threads(shape.threads)
    try:
        with torch.random.fork_rng(devices=[]):
            network = UNet2D(shape.in_channels, shape.out_channels, sizes=shape.sizes)
            # torch's type hints lack this argument.
            network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
            n_crops = min(shape.batch, MOST_CROPS)
            crops = torch.randn(n_crops, shape.in_channels, *shape.crop)
            crops = crops.contiguous(memory_format=torch.channels_last)
            taken = []
            for _ in range(WARM_UP + REPEATS):
                start = time.perf_counter()
                optimizer.zero_grad(set_to_none=True)
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16_pays()):
                    logits = network(crops)
                loss = F.mse_loss(logits.float(), torch.zeros_like(logits, dtype=torch.float32))
                torch.autograd.backward(loss)
                optimizer.step()
                taken.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return min(taken[WARM_UP:]) * shape.batch / n_crops
