"""Single fields of a plan or recipe, changed by a file of the user's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unet_med.errors import RecipeError

if TYPE_CHECKING:
    from pathlib import Path

_REPLACED_WHOLE = frozenset({"labels", "regions", "channels", "cases", "sizes"})
"""Lists and tables that mean something only as a whole."""


def changed_by(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return content with the fields that a JSON file states put in their place.

    Objects are merged field by field, but `_REPLACED_WHOLE`; everything else is replaced.

    Args:
        content: A recipe or a plan as JSON-ready content.
        path: A JSON file with the fields to change, or all of them.

    Raises:
        RecipeError: The file cannot be read or holds no JSON object.
    """
    try:
        changes = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        msg = f"cannot read {path}: {exc.strerror or exc}"
        raise RecipeError(msg) from exc
    except (ValueError, RecursionError) as exc:
        msg = f"{path} is no valid JSON: {exc}"
        raise RecipeError(msg) from exc
    if not isinstance(changes, dict):
        msg = f"{path} must hold a JSON object with the fields to change"
        raise RecipeError(msg)
    return _merged(content, changes)


def _merged(content: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(content)
    for key, value in changes.items():
        before = content.get(key)
        deeper = isinstance(before, dict) and isinstance(value, dict) and key not in _REPLACED_WHOLE
        merged[key] = _merged(before, value) if deeper and before is not None else value
    return merged
