"""Resolve ``auto`` to a backend and a precision, and open a bundle's network in its backend.

A backend is a module with ``PRECISIONS`` (name → whether this processor gains speed by it),
``resolve_device(device) -> str`` and ``open_predictor(recipe, weights, execution)``.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING

from unet_med._files import sha256_file
from unet_med.backends.precision_report import load_precision_report, model_files, model_sha256
from unet_med.backends.predictor import Execution, SlicePredictor
from unet_med.backends.selection import (
    PRECISIONS,
    choose_backend,
    resolve_precision,
    usable_precisions,
)
from unet_med.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

    from unet_med.recipe import Recipe

BACKENDS = {
    "torch": "unet_med.backends.torch_backend",
    "openvino": "unet_med.backends.openvino_backend",
}
"""Backend name to the module that implements it."""


def _is_count(value: object) -> bool:
    return isinstance(value, Integral) and int(value) >= 1


def resolve_execution(  # noqa: PLR0913 - one per setting
    recipe: Recipe,
    *,
    weights: Path | None = None,
    backend: str = "auto",
    precision: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    warn: bool = True,
) -> Execution:
    """Resolve ``auto`` the same way for every interface.

    Args:
        recipe: States which precisions were verified.
        weights: The bundle's ``models/model.pt``, beside which an export may lie; without it
            ``auto`` is torch.
        backend: ``auto`` or a name in ``BACKENDS``. ``auto`` is openvino on a CPU where it is
            installed and the bundle has an export made from its weights, else torch.
        precision: ``auto``, ``fp32``, ``bf16`` or ``int8``.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads; ``None`` = the processors this process may use.
        warn: Whether to warn of a precision that was not verified.

    Returns:
        The resolved settings.

    Raises:
        InputError: A name is unknown, or the backend cannot do what is asked.
        BundleError: Backend openvino was asked for, and the bundle has no usable export.
        MissingExtraError: Backend openvino was asked for and is not installed.
    """
    requested = _Requested(backend, precision, device, threads)
    return _resolve(recipe, weights, requested, warn=warn)


def resolve_ensemble(
    networks: Sequence[tuple[Recipe, Path | None]],
    *,
    backend: str = "auto",
    precision: str = "auto",
    device: str = "auto",
    threads: int | None = None,
) -> tuple[Execution, ...]:
    """Resolve ``auto`` for networks that are run together, to what all of them can do.

    Where they would differ, all run on torch, or in the fastest precision that is verified for
    all and native here.

    Args:
        networks: Recipe and weights of each, at least one.
        backend: As for ``resolve_execution``, as are the others.
        precision: The same for all.
        device: The same for all.
        threads: The same for all; they are run one after the other.

    Raises:
        InputError, BundleError, MissingExtraError: As ``resolve_execution``.
    """
    requested = _Requested(backend, precision, device, threads)

    def resolved() -> tuple[Execution, ...]:
        return tuple(_resolve(recipe, weights, requested) for recipe, weights in networks)

    found = resolved()
    if len({how.backend for how in found}) > 1:
        why = "torch, as not all bundles have an export"
        requested = replace(requested, backend="torch", why_backend=why)
        found = resolved()
    if len({how.precision for how in found}) > 1:
        name, device = found[0].backend, found[0].device
        usable = [
            usable_precisions(
                recipe,
                backend=name,
                native=_native(name, device),
                models=_models(name, recipe, weights),
            )
            for recipe, weights in networks
        ]
        common = [name for name in PRECISIONS if all(name in mine for mine in usable)]
        fastest = common[-1] if common else "fp32"
        why = f"{fastest}, as no faster precision is verified for all and native here"
        requested = replace(requested, precision=fastest, why_precision=why)
        found = resolved()
    return found


@dataclass(frozen=True, slots=True)
class _Requested:
    """What is to be resolved, and why, where it was not the user who asked for it."""

    backend: str
    precision: str
    device: str
    threads: int | None
    why_backend: str = ""
    why_precision: str = ""


def _resolve(
    recipe: Recipe, weights: Path | None, requested: _Requested, *, warn: bool = True
) -> Execution:
    # A bundle's command line may give text: "null" is what the config has for all of them.
    if requested.threads is not None and not _is_count(requested.threads):
        msg = f"threads must be at least 1, got {requested.threads!r}; leave it out for all"
        raise InputError(msg)
    name, why_backend = requested.backend, f"{requested.backend} was asked for"
    if name == "auto":
        name, why_backend = choose_backend(
            weights, device=requested.device, precision=requested.precision
        )  # fmt: skip
    device = load_backend(name).resolve_device(requested.device)
    models = _models(name, recipe, weights)
    precision, why = resolve_precision(
        recipe,
        requested.precision,
        backend=name,
        native=_native(name, device),
        models=models,
        warn=warn,
    )
    digest = ""
    if name == "openvino":
        assert weights is not None
        digest = models.get(precision) or model_sha256(
            load_precision_report(weights, precision), precision
        )
    reason = f"{requested.why_backend or why_backend}; {requested.why_precision or why}"
    return Execution(
        name, precision, device, requested.threads or available_threads(), reason, digest
    )


def load_backend(name: str) -> ModuleType:
    """Import a backend's module.

    Raises:
        InputError: No backend has that name.
        MissingExtraError: The library it runs on is not installed.
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
        execution: From ``resolve_execution``.

    Raises:
        WeightsError: The weights do not fit.
        BundleError: The export does not fit.
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


def _native(backend: str, device: str) -> Mapping[str, bool]:
    """Return a backend's precisions, and whether each is faster than fp32 on the device."""
    module = load_backend(backend)
    native: Mapping[str, bool] = (
        module.cuda_precisions() if device.startswith("cuda") else module.PRECISIONS
    )
    return native


def _models(backend: str, recipe: Recipe, weights: Path | None) -> dict[str, str]:
    """Return the SHA-256 of what each precision of a backend would run, where there is a model."""
    if backend != "openvino":
        digest = recipe.weights_sha256
        if not digest and weights is not None and weights.is_file():
            digest = sha256_file(weights)
        return dict.fromkeys(PRECISIONS, digest)
    if weights is None:
        msg = "backend openvino needs the path of the bundle's weights, to find their export"
        raise InputError(msg)
    report = load_precision_report(weights)
    return {
        precision: model_sha256(report, precision)
        for precision in PRECISIONS
        if all(name in report.files for name in model_files(precision))
    }
