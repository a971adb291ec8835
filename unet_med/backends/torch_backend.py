"""The reference backend: PyTorch, on CPU or CUDA."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import torch

from unet_med.backends.hardware import bf16_is_faster
from unet_med.bundle.weights import load_weights
from unet_med.errors import InputError, WeightsError
from unet_med.networks import UNet2D

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from unet_med.backends.predictor import Execution
    from unet_med.recipe import Recipe


PRECISIONS: Final = {"fp32": True, "bf16": bf16_is_faster()}
"""Precisions this backend has, and whether this processor is faster in them than in fp32."""


def cuda_precisions() -> dict[str, bool]:
    """Return the precisions on a CUDA device, and whether it has arithmetic for each.

    Not run on one so far.
    """
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return {"fp32": True, "bf16": bool(has_bf16)}


class TorchPredictor:
    """Runs a torch network over batches of slices, without gradients, channels last."""

    def __init__(
        self,
        network: Callable[[torch.Tensor], object],
        *,
        device: str = "cpu",
        precision: str = "fp32",
        threads: int | None = None,
    ) -> None:
        """Wrap a network that is in eval mode and on the device.

        Args:
            network: (N, C, H, W) float32 tensor to logits (N, K, H, W).
            device: ``cpu`` or ``cuda``, or any torch device name.
            precision: ``fp32``, or ``bf16`` by autocast.
            threads: CPU threads for torch in this process; ``None`` = as they are.
        """
        self._network = network
        self._device = torch.device(device)
        self._precision = precision
        self._threads = threads

    def __call__(self, slices: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Return logits (N, K, H, W) float32 of slices (N, C, H, W) float32.

        Raises:
            WeightsError: The network gives something else than one tensor.
        """
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        batch = torch.from_numpy(slices).to(self._device, memory_format=torch.channels_last)
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            if self._precision == "bf16":
                stack.enter_context(torch.autocast(self._device.type, dtype=torch.bfloat16))
            elif self._device.type == "cuda":  # TF32 would not be fp32; not run on a GPU here
                stack.enter_context(torch.backends.cudnn.flags(allow_tf32=False))
            logits = self._network(batch)
        if not isinstance(logits, torch.Tensor):
            msg = (
                f"the network gave a {type(logits).__name__}, not one tensor of logits "
                "(N, K, H, W): wrap it in a function that returns the logits alone"
            )
            raise WeightsError(msg)
        result: NDArray[np.float32] = logits.float().cpu().contiguous().numpy()
        return result


def resolve_device(device: str) -> str:
    """Return ``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        InputError: The name is unknown, or there is no CUDA device.
    """
    if device not in {"auto", "cpu", "cuda"}:
        msg = f"no device {device!r}: use auto, cpu or cuda"
        raise InputError(msg)
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        msg = "device cuda was asked for, but torch finds no CUDA device: use auto or cpu"
        raise InputError(msg)
    return "cuda" if device != "cpu" and has_cuda else "cpu"


def open_predictor(recipe: Recipe, weights: Path, execution: Execution) -> TorchPredictor:
    """Build the recipe's network, load its weights and make it ready.

    Raises:
        WeightsError: The weights do not fit.
    """
    network = build_network(recipe)
    load_weights(network, weights, sha256=recipe.weights_sha256)
    return wrap_network(network, execution)


def build_network(recipe: Recipe) -> UNet2D:
    """Return the recipe's network with random weights."""
    arguments = recipe.network
    return UNet2D(arguments.in_channels, arguments.out_channels, arguments.sizes)


def wrap_network(network: torch.nn.Module, execution: Execution) -> TorchPredictor:
    """Put a network into eval mode on its device, channels last, and wrap it."""
    network = network.eval().to(execution.device)
    # The stubs know no memory_format for modules of any class.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TorchPredictor(
        network,
        device=execution.device,
        precision=execution.precision,
        threads=execution.threads,
    )
