"""``unet-med info``: what a bundle, a mask or a scan is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unet_med.api.inspection import info
from unet_med.cli.parser import Command

if TYPE_CHECKING:
    import argparse

COMMAND = Command(info, arguments=("path",))


def run(args: argparse.Namespace, options: dict[str, Any]) -> int:
    """Describe, as lines or as JSON."""
    content = info(**options)
    if args.json:
        print(json.dumps(content, indent=2))
    else:
        _print_lines(content)
    return 0


def _print_lines(content: dict[str, Any], indent: str = "") -> None:
    """Print facts as ``key: value`` lines, leaving out what is empty."""
    for key, value in content.items():
        if _is_empty(value):
            continue
        if isinstance(value, dict) and any(isinstance(item, dict) for item in value.values()):
            print(f"{indent}{key}:")
            _print_lines(value, indent + "  ")
        else:
            print(f"{indent}{key}: {_text(value)}")


def _is_empty(value: Any) -> bool:  # noqa: ANN401 - a JSON value
    if isinstance(value, dict):
        return all(_is_empty(item) for item in value.values())
    return value in ("", None, [])


def _text(value: Any) -> str:  # noqa: ANN401 - a JSON value
    if isinstance(value, dict):
        pairs = ((key, item) for key, item in value.items() if not _is_empty(item))
        return ", ".join(f"{key} {_text(item)}" for key, item in pairs)
    if isinstance(value, list):
        separator = "; " if any(isinstance(item, dict | list) for item in value) else " "
        return separator.join(_text(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
