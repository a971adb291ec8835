"""Take plain mappings, such as YAML gives, where an object is expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from unet_med.errors import InputError, RecipeError
from unet_med.recipe.decoding import decode

T = TypeVar("T")


def from_mapping(kind: type[T], value: T | Mapping[str, Any], name: str) -> T:
    """Build a dataclass from a mapping of its fields; return an object as it is.

    Args:
        kind: The dataclass.
        value: An object of it, or the mapping.
        name: Name of the argument, for the message.

    Raises:
        InputError: Unknown or missing fields, or values of the wrong type.

    Example:
        >>> from unet_med.preprocessing import Context
        >>> from_mapping(Context, {"slices": 3, "reach_mm": 6}, "context").reach_mm
        6.0
    """
    if isinstance(value, kind):
        return value
    plain = dict(value) if isinstance(value, Mapping) else value
    try:
        return decode(kind, plain, where=name)
    except RecipeError as exc:
        raise InputError(str(exc)) from exc
