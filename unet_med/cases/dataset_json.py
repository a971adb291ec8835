"""Read ``dataset.json`` of nnU-Net and the Decathlon; size, shape and types of JSON are checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unet_med.cases.case import DatasetInfo
from unet_med.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MAX_BYTES = 1 << 25
"""Largest list that is read: 32 MiB, some 100 000 cases."""


def read_text(path: Path) -> str:
    """Read a text file of at most `MAX_BYTES`.

    Raises:
        InputError: It is no file, too large, cannot be read, or is no UTF-8 text.
    """
    if not path.is_file():
        msg = f"{path} is no file; name a CSV or JSON list of cases"
        raise InputError(msg)
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            msg = f"{path} has {size} bytes; a list of cases has at most {MAX_BYTES}"
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


def parse_int(value: object, where: str) -> int:
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


def parse_text(value: object, where: str) -> str:
    """Return a text, which must be one and not empty.

    Raises:
        InputError: It is none.
    """
    if not isinstance(value, str) or not value.strip():
        msg = f"{where} must be a text, got {value!r:.80}"
        raise InputError(msg)
    return value.strip()


_CT = "CT"


def parse_dataset_json(content: Mapping[str, Any], where: str) -> DatasetInfo:
    """Read the names of channels and labels.

    nnU-Net: ``channel_names`` or ``modality`` number → name; ``labels`` name → value, or name →
    list of values for regions (``regions_class_order`` is not read: the plan decides how they
    are painted); ``ignore`` marks what is not scored. Decathlon: ``labels`` number → name.

    Args:
        content: The JSON object.
        where: The file, for messages.

    Raises:
        InputError: A part has the wrong form.
    """
    channels = _channels(content.get("channel_names", content.get("modality")), where)
    labels = content.get("labels")
    if labels is None:
        return DatasetInfo(channels, _modalities(channels))
    if not isinstance(labels, dict) or not labels:
        msg = f"{where}: labels must be an object of names and values, got {labels!r:.80}"
        raise InputError(msg)
    if all(str(key).isdecimal() for key in labels):
        named = {
            parse_int(value, f"{where}: labels"): parse_text(name, f"{where}: labels.{value}")
            for value, name in labels.items()
        }
        return DatasetInfo(
            channels, _modalities(channels), {v: n for v, n in named.items() if v != 0}
        )
    return _by_name(channels, labels, where)


def _by_name(channels: tuple[str, ...], labels: Mapping[str, Any], where: str) -> DatasetInfo:
    named: dict[int, str] = {}
    regions: dict[str, tuple[int, ...]] = {}
    ignore = None
    for name, value in labels.items():
        here = f"{where}: labels.{name}"
        if name == "ignore":
            ignore = parse_int(value, here)
        elif isinstance(value, list | tuple):
            regions[name] = tuple(parse_int(part, here) for part in value)
        elif (number := parse_int(value, here)) != 0:
            if number in named:
                msg = f"{where}: labels {named[number]} and {name} both have the value {number}"
                raise InputError(msg)
            named[number] = name
    if regions:  # single values beside regions are regions of one value
        regions = {**{name: (value,) for value, name in named.items()}, **regions}
        order = list(labels)
        regions = {name: regions[name] for name in sorted(regions, key=order.index)}
        named = {}
    return DatasetInfo(channels, _modalities(channels), named, regions, ignore)


def _channels(content: object, where: str) -> tuple[str, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (content,)
    if isinstance(content, list):
        content = {str(n): name for n, name in enumerate(content)}
    if not isinstance(content, dict):
        msg = f"{where}: channel_names must number the channels, got {content!r:.80}"
        raise InputError(msg)
    numbers = sorted(parse_int(key, f"{where}: channel_names") for key in content)
    if numbers != list(range(len(numbers))):
        msg = f"{where}: channel_names must be numbered 0, 1, …, got {sorted(content)}"
        raise InputError(msg)
    return tuple(parse_text(content[str(n)], f"{where}: channel_names.{n}") for n in numbers)


def _modalities(channels: Sequence[str]) -> tuple[str, ...]:
    """Take a channel called CT as CT; other names say nothing of the modality for certain."""
    return tuple(_CT if name.upper() == _CT else "" for name in channels)
