"""How long a training step takes on this machine, measured."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from unet_med.backends.hardware import bf16_is_faster

if TYPE_CHECKING:
    from unet_med.training.planning.network import StepShape

WARM_UP, REPEATS = 1, 2
MOST_PATCHES = 2
"""Patches that are timed; a larger batch takes as many times as long, or a little less."""


def seconds_per_step(shape: StepShape) -> float:
    """Measure forward, backward and update of a network on random patches, after a warm-up.

    Args:
        shape: The network and its patches.

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
            n_crops = min(shape.batch_size, MOST_PATCHES)
            patches = torch.randn(n_crops, shape.in_channels, *shape.patch_size)
            patches = patches.contiguous(memory_format=torch.channels_last)
            taken = []
            for _ in range(WARM_UP + REPEATS):
                start = time.perf_counter()
                optimizer.zero_grad(set_to_none=True)
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16_is_faster()):
                    logits = network(patches)
                loss = F.mse_loss(logits.float(), torch.zeros_like(logits, dtype=torch.float32))
                torch.autograd.backward(loss)
                optimizer.step()
                taken.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return min(taken[WARM_UP:]) * shape.batch_size / n_crops
