"""What runs the network: one table of backends, one function that resolves ``auto``.

A backend is a module with ``PRECISIONS`` (name → whether this machine runs it natively),
``resolve_device(device) -> str`` and ``open_predictor(recipe, weights, execution)``.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from unet_med.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    import numpy as np
    from numpy.typing import NDArray

    from unet_med.recipe import Recipe

logger = logging.getLogger(__name__)

BACKENDS = {"torch": "unet_med.backends.torch_backend"}
"""Backend name to the module that implements it, in order of preference."""

PRECISIONS = ("fp32", "bf16", "int8")


class SlicePredictor(Protocol):
    """Turn slices (N, C, H, W) float32 into logits (N, K, H, W) float32, any H and W."""

    def __call__(self, slices: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Run the network."""
        ...


@dataclass(frozen=True, slots=True)
class Execution:
    """How the network is run, with every ``auto`` resolved.

    Attributes:
        backend: Name in ``BACKENDS``.
        precision: ``fp32``, ``bf16`` or ``int8``.
        device: ``cpu`` or ``cuda``.
        threads: CPU threads the network may use, at least 1.
        reason: Why backend and precision were chosen, for people.
    """

    backend: str
    precision: str
    device: str
    threads: int
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready content."""
        return asdict(self)


def resolve(
    recipe: Recipe,
    *,
    backend: str = "auto",
    precision: str = "auto",
    device: str = "auto",
    threads: int | None = None,
) -> Execution:
    """Resolve ``auto`` the same way for every door.

    Args:
        recipe: States which precisions were verified.
        backend: ``auto`` or a name in ``BACKENDS``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``int8``.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads; ``None`` = the processors this process may use.

    Returns:
        The resolved settings.

    Raises:
        InputError: A name is unknown, or the backend cannot do what is asked.
    """
    name = next(iter(BACKENDS)) if backend == "auto" else backend
    module = load_backend(name)
    if threads is not None and threads < 1:
        msg = f"threads must be at least 1, got {threads}"
        raise InputError(msg)
    chosen_device = module.resolve_device(device)
    chosen, why = _resolve_precision(recipe, name, precision, module)
    reason = f"{name} {'is the default' if backend == 'auto' else 'was asked for'}; {why}"
    return Execution(name, chosen, chosen_device, threads or available_threads(), reason)


def load_backend(name: str) -> ModuleType:
    """Import a backend's module.

    Raises:
        InputError: No backend has that name.
    """
    if name not in BACKENDS:
        msg = f"no backend {name!r}: use auto or one of {', '.join(BACKENDS)}"
        raise InputError(msg)
    return importlib.import_module(BACKENDS[name])


def open_predictor(recipe: Recipe, weights: Path, execution: Execution) -> SlicePredictor:
    """Load the network of a bundle into its backend.

    Args:
        recipe: The bundle's recipe.
        weights: The bundle's ``models/model.pt``.
        execution: From ``resolve``.

    Raises:
        WeightsError: The weights do not fit.
    """
    predictor: SlicePredictor = load_backend(execution.backend).open_predictor(
        recipe, weights, execution
    )
    return predictor


def available_threads() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def _resolve_precision(
    recipe: Recipe, backend: str, precision: str, module: ModuleType
) -> tuple[str, str]:
    native: dict[str, bool] = module.PRECISIONS
    verified = [
        entry.precision
        for entry in recipe.precisions
        if entry.backend == backend and entry.verified
    ]
    if precision == "auto":
        fastest_first = [p for p in reversed(PRECISIONS) if p in verified and native.get(p)]
        if fastest_first and fastest_first[0] != "fp32":
            return fastest_first[0], f"{fastest_first[0]} is verified in the recipe and native here"
        return "fp32", "fp32, as no faster precision is verified in the recipe and native here"
    if precision not in native:
        msg = f"backend {backend} has no precision {precision!r}: use auto or {', '.join(native)}"
        raise InputError(msg)
    if precision != "fp32" and precision not in verified:
        logger.warning("precision %s was not verified for this bundle and backend", precision)
        return precision, f"{precision} was asked for, unverified"
    return precision, f"{precision} was asked for"
