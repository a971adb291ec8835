"""JSON that somebody else wrote, read with care: size, shape and types are checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unet_med.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 1 << 25
"""Largest list that is read: 32 MiB, some 100 000 cases."""


def read_text(path: Path) -> str:
    """Read a text file of at most `MOST_BYTES`.

    Raises:
        InputError: It is no file, too large, cannot be read, or is no UTF-8 text.
    """
    if not path.is_file():
        msg = f"{path} is no file; name a CSV or JSON list of cases"
        raise InputError(msg)
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            msg = f"{path} has {size} bytes; a list of cases has at most {MOST_BYTES}"
            raise InputError(msg)
        return path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        msg = f"cannot read {path}: {exc.strerror or exc}"
        raise InputError(msg) from exc
    except UnicodeDecodeError as exc:
        msg = f"{path} is no UTF-8 text: save it as CSV or JSON in UTF-8"
        raise InputError(msg) from exc


def read_json(path: Path) -> Any:  # noqa: ANN401 - parsed JSON
    """Read a JSON file.

    Raises:
        InputError: As `read_text`, or the text is no JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        msg = f"{path} is no valid JSON: {exc}"
        raise InputError(msg) from exc


def whole(value: Any, where: str) -> int:  # noqa: ANN401 - parsed JSON
    """Return a whole number that may be written as text.

    Raises:
        InputError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        msg = f"{where} must be a whole number, got {value!r:.80}"
        raise InputError(msg)
    try:
        return int(value)
    except ValueError as exc:
        msg = f"{where} must be a whole number, got {value!r:.80}"
        raise InputError(msg) from exc


def text_of(value: Any, where: str) -> str:  # noqa: ANN401 - parsed JSON
    """Return a text, which must be one and not empty.

    Raises:
        InputError: It is none.
    """
    if not isinstance(value, str) or not value.strip():
        msg = f"{where} must be a text, got {value!r:.80}"
        raise InputError(msg)
    return value.strip()
