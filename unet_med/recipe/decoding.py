"""From parsed JSON to frozen dataclasses: every wrong key or type is an error that names it."""

from __future__ import annotations

import types
import typing
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from unet_med._files import MAX_JSON_BYTES, read_json
from unet_med.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")
_MAX_DIGITS = 18
_MAX_SHOWN = 80

MAX_MAGNITUDE = 1e12
"""Magnitude of numbers in a recipe; JSON's 1e999 is infinity to Python."""


def load_json(
    path: Path,
    build: Callable[[Any], T],
    *,
    what: str,
    advice: str,
    max_bytes: int = MAX_JSON_BYTES,
) -> T:
    """Build a value from a JSON file.

    Args:
        path: The file.
        build: From parsed JSON to the value.
        what: What the file is, for messages.
        advice: What to do when it cannot be read.
        max_bytes: Of a larger file no more is read.

    Raises:
        RecipeError: The file cannot be read, is no JSON, or `build` refuses what it holds.
    """
    try:
        return build(read_json(path, max_bytes=max_bytes))
    except OSError as exc:
        msg = f"cannot read the {what} {path}: {exc.strerror or exc}; {advice}"
        raise RecipeError(msg) from exc
    except ValueError as exc:
        msg = f"{path} is not a valid {what}: {exc}"
        raise RecipeError(msg) from exc


def check_schema_version(content: Any, known: int, *, what: str) -> None:  # noqa: ANN401 - parsed JSON
    """Refuse content of another schema version, which this program could misread.

    Raises:
        RecipeError: Its ``schema_version`` is not ``known``.
    """
    version = content.get("schema_version", known) if isinstance(content, dict) else 0
    if isinstance(version, int) and version > known:
        msg = (
            f"the {what} has schema version {version}, this program knows up to {known}: "
            "install a newer unet_med"
        )
        raise RecipeError(msg)
    if isinstance(version, int) and isinstance(content, dict) and version < known:
        msg = (
            f"the {what} has schema version {version}, this program reads {known}: make it anew "
            "with this unet_med, or install the older one"
        )
        raise RecipeError(msg)


def decode(kind: type[T], content: Any, *, where: str) -> T:  # noqa: ANN401 - parsed JSON
    """Build a dataclass from parsed JSON.

    Args:
        kind: The dataclass; its annotations say what JSON must hold.
        content: A JSON object.
        where: Name of the place, for messages.

    Returns:
        The value, built and so checked by its own constructor.

    Raises:
        RecipeError: Unknown keys, missing keys, wrong types or refused values.
    """
    if not isinstance(content, dict):
        msg = f"{where} must be an object, got {type(content).__name__}"
        raise RecipeError(msg)
    hints = typing.get_type_hints(kind)
    known = {item.name for item in fields(kind)}  # type: ignore[arg-type]  # always a dataclass
    if unknown := sorted(set(content) - known):
        msg = f"{where} has unknown keys {unknown}; known are {sorted(known)}"
        raise RecipeError(msg)
    values = {key: _value(hints[key], value, f"{where}.{key}") for key, value in content.items()}
    try:
        return kind(**values)
    except (TypeError, ValueError) as exc:
        msg = str(exc) if isinstance(exc, RecipeError) else f"{where}: {exc}"
        raise RecipeError(msg) from exc


def _value(hint: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - parsed JSON
    if typing.get_origin(hint) in {
        typing.Union,
        types.UnionType,
    }:  # "something | None", or the first of several
        if value is None:
            return None
        hint = typing.get_args(hint)[0]
    if is_dataclass(hint) and isinstance(hint, type):
        return decode(hint, value, where=where)
    by_origin = {tuple: _tuple, dict: _dict, Literal: _literal}
    decoder = by_origin.get(typing.get_origin(hint), _scalar)
    return decoder(hint, value, where)


def _tuple(hint: Any, value: Any, where: str) -> tuple[Any, ...]:  # noqa: ANN401 - parsed JSON
    _check(isinstance(value, list | tuple), value, f"{where} must be a list")
    arguments = typing.get_args(hint)
    hints = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
    _check(len(hints) == len(value), value, f"{where} must have {len(hints)} entries")
    parts = zip(hints, value, strict=True)
    return tuple(_value(part, item, f"{where}[{n}]") for n, (part, item) in enumerate(parts))


def _dict(hint: Any, value: Any, where: str) -> dict[Any, Any]:  # noqa: ANN401 - parsed JSON
    _check(isinstance(value, dict), value, f"{where} must be an object")
    key_hint, value_hint = typing.get_args(hint)
    if key_hint is int:
        for key in value:
            whole = str(key).isdecimal() and len(str(key)) <= _MAX_DIGITS
            _check(whole, key, f"keys of {where} must be whole numbers")
    return {
        key_hint(key): _value(value_hint, item, f"{where}.{key}") for key, item in value.items()
    }


def _literal(hint: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - parsed JSON
    choices = typing.get_args(hint)
    _check(isinstance(value, str) and value in choices, value, f"{where} must be one of {choices}")
    return value


def _scalar(hint: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - parsed JSON
    if hint is Any:
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        _check(
            -MAX_MAGNITUDE <= value <= MAX_MAGNITUDE,
            value,
            f"{where} must be a number within ±{MAX_MAGNITUDE:g}",
        )
        return float(value)
    fits = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    _check(fits, value, f"{where} must be {hint.__name__}")
    return value


def _check(fits: bool, value: object, requirement: str) -> None:  # noqa: FBT001 - a plain check
    if not fits:
        shown = repr(value)
        shown = shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}…"
        msg = f"{requirement}, got {shown}"
        raise RecipeError(msg)
