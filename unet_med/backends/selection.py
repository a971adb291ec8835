"""Which backend and which precision ``auto`` means, and why."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from unet_med.backends.hardware import may_have_cuda
from unet_med.backends.openvino_backend import is_installed
from unet_med.backends.precision_report import export_problem
from unet_med.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
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


def usable_precisions(
    recipe: Recipe, *, backend: str, native: Mapping[str, bool], models: Mapping[str, str]
) -> tuple[str, ...]:
    """Return what ``auto`` may take, slowest first; fp32 may be taken in any case.

    Args:
        recipe: States which precisions were verified, and of which model.
        backend: The resolved backend.
        native: The backend's precisions; whether each is faster than fp32 on this processor.
        models: SHA-256 of the model that each precision would run, where the bundle has one.
    """
    verified = _verified(recipe, backend, models)
    return tuple(name for name in PRECISIONS if name in verified and native.get(name))


def resolve_precision(
    recipe: Recipe,
    precision: str,
    *,
    backend: str,
    native: Mapping[str, bool],
    models: Mapping[str, str],
    warn: bool = True,
) -> tuple[str, str]:
    """Return the precision to run in, and why.

    Args:
        recipe: As for ``usable_precisions``, as are the others.
        precision: ``auto`` or a name in ``PRECISIONS``.
        backend: The resolved backend.
        native: Its precisions.
        models: What each would run.
        warn: Whether to warn of a precision that was not verified.

    Raises:
        InputError: The backend has no such precision.
    """
    if precision == "auto":
        usable = usable_precisions(recipe, backend=backend, native=native, models=models)
        if usable and usable[-1] != "fp32":
            return usable[-1], f"{usable[-1]} is verified in the recipe and native here"
        return "fp32", "fp32, as no faster precision is verified in the recipe and native here"
    if precision not in native:
        msg = f"backend {backend} has no precision {precision!r}: use auto or {', '.join(native)}"
        raise InputError(msg)
    why = f"{precision} was asked for"
    if precision != "fp32" and precision not in _verified(recipe, backend, models):
        if warn:
            logger.warning("precision %s was not verified for this bundle and backend", precision)
        why += ", unverified"
    if not native[precision]:
        why += ", though this processor is not faster in it"
    return precision, why


def _verified(recipe: Recipe, backend: str, models: Mapping[str, str]) -> set[str]:
    """Return the precisions verified with the very model that would be run."""
    return {
        entry.precision
        for entry in recipe.precisions
        if entry.backend == backend
        and entry.verified
        and entry.model_sha256
        and entry.model_sha256 == models.get(entry.precision)
    }


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
