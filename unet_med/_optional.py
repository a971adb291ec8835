"""Import optional packages, or say which extra installs them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from unet_med.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType


def import_optional(module: str, *, extra: str) -> ModuleType:
    """Import an optional package, or say how to install it.

    Args:
        module: Dotted module name, e.g. ``"pydicom"``.
        extra: Name of the extra in pyproject.toml that brings it.

    Returns:
        The imported module.

    Raises:
        MissingExtraError: The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        msg = f"{module} is not installed: run pip install 'unet_med[{extra}]'"
        raise MissingExtraError(msg) from exc
