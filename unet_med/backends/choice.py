"""Which backend and which precision ``auto`` means, and why."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from unet_med.backends.exported import export_problem
from unet_med.backends.openvino_runtime import is_installed
from unet_med.backends.processor import may_have_cuda
from unet_med.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from unet_med.recipe import Recipe

logger = logging.getLogger(__name__)

PRECISIONS = ("fp32", "bf16", "int8")
"""From the slowest to the fastest, where the processor has instructions for them."""


def choose_backend(weights: Path | None, *, device: str, precision: str) -> tuple[str, str]:
    """Return the backend that ``auto`` means, and why.

    Args:
        weights: The bundle's ``models/model.pt``, or ``None`` if it is not known.
        device: As the user gave it.
        precision: As the user gave it.

    Returns:
        ``openvino`` where it is installed, the bundle has an export made from its weights and
        the network is to run on the CPU, else ``torch``.
    """
    if precision == "int8":  # if it cannot be had, openvino says what is missing
        return "openvino", "openvino, which alone has int8"
    obstacle = _obstacle(weights, device)
    if obstacle:
        return "torch", f"torch, as {obstacle}"
    return "openvino", "openvino, as this bundle has an export made from its weights"


def resolve_precision(
    recipe: Recipe,
    precision: str,
    *,
    backend: str,
    native: Mapping[str, bool],
    exported: Collection[str],
) -> tuple[str, str]:
    """Return the precision to run in, and why.

    Args:
        recipe: States which precisions were verified.
        precision: ``auto`` or a name in ``PRECISIONS``.
        backend: The resolved backend.
        native: The backend's precisions; whether each is faster than fp32 on this processor.
        exported: Precisions that the bundle has a model for.

    Raises:
        InputError: The backend has no such precision.
    """
    verified = {
        entry.precision
        for entry in recipe.precisions
        if entry.backend == backend and entry.verified
    }
    if precision == "auto":
        usable = [p for p in PRECISIONS if p in verified and p in exported and native.get(p)]
        if usable and usable[-1] != "fp32":
            return usable[-1], f"{usable[-1]} is verified in the recipe and native here"
        return "fp32", "fp32, as no faster precision is verified in the recipe and native here"
    if precision not in native:
        msg = f"backend {backend} has no precision {precision!r}: use auto or {', '.join(native)}"
        raise InputError(msg)
    why = f"{precision} was asked for"
    if precision != "fp32" and precision not in verified:
        logger.warning("precision %s was not verified for this bundle and backend", precision)
        why += ", unverified"
    if not native[precision]:
        why += ", though this processor is not faster in it"
    return precision, why


def _obstacle(weights: Path | None, device: str) -> str:
    """Return why openvino is not taken; empty = nothing speaks against it."""
    if weights is None:
        return "no weights were named beside which an export could lie"
    if _is_cuda(device):
        return "it runs on the CUDA device"
    if not is_installed():
        return "openvino, which is faster, is not installed: run pip install openvino"
    return export_problem(weights)


def _is_cuda(device: str) -> bool:
    """Tell whether torch would run on CUDA; torch is loaded only if there may be a device."""
    if device != "auto":
        return device != "cpu"  # names that torch does not know are refused by its backend
    if not may_have_cuda():
        return False
    from unet_med.backends import torch_backend

    return torch_backend.resolve_device("auto") == "cuda"
