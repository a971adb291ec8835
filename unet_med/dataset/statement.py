"""What a ``dataset.json`` says of channels and labels: nnU-Net's form and the Decathlon's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unet_med.dataset.case import Naming
from unet_med.dataset.reading import text_of, whole
from unet_med.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CT = "CT"


def naming_of(content: Mapping[str, Any], where: str) -> Naming:
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
        return Naming(channels, _modalities(channels))
    if not isinstance(labels, dict) or not labels:
        msg = f"{where}: labels must be an object of names and values, got {labels!r:.80}"
        raise InputError(msg)
    if all(str(key).isdecimal() for key in labels):
        named = {
            whole(value, f"{where}: labels"): text_of(name, f"{where}: labels.{value}")
            for value, name in labels.items()
        }
        return Naming(channels, _modalities(channels), {v: n for v, n in named.items() if v != 0})
    return _by_name(channels, labels, where)


def _by_name(channels: tuple[str, ...], labels: Mapping[str, Any], where: str) -> Naming:
    named: dict[int, str] = {}
    regions: dict[str, tuple[int, ...]] = {}
    ignore = None
    for name, value in labels.items():
        here = f"{where}: labels.{name}"
        if name == "ignore":
            ignore = whole(value, here)
        elif isinstance(value, list | tuple):
            regions[name] = tuple(whole(part, here) for part in value)
        elif (number := whole(value, here)) != 0:
            if number in named:
                msg = f"{where}: labels {named[number]} and {name} both have the value {number}"
                raise InputError(msg)
            named[number] = name
    if regions:  # single values beside regions are regions of one value
        regions = {**{name: (value,) for value, name in named.items()}, **regions}
        order = list(labels)
        regions = {name: regions[name] for name in sorted(regions, key=order.index)}
        named = {}
    return Naming(channels, _modalities(channels), named, regions, ignore)


def _channels(content: Any, where: str) -> tuple[str, ...]:  # noqa: ANN401 - parsed JSON
    if content is None:
        return ()
    if isinstance(content, str):
        return (content,)
    if isinstance(content, list):
        content = {str(n): name for n, name in enumerate(content)}
    if not isinstance(content, dict):
        msg = f"{where}: channel_names must number the channels, got {content!r:.80}"
        raise InputError(msg)
    numbers = sorted(whole(key, f"{where}: channel_names") for key in content)
    if numbers != list(range(len(numbers))):
        msg = f"{where}: channel_names must be numbered 0, 1, …, got {sorted(content)}"
        raise InputError(msg)
    return tuple(text_of(content[str(n)], f"{where}: channel_names.{n}") for n in numbers)


def _modalities(channels: Sequence[str]) -> tuple[str, ...]:
    """Take a channel called CT as CT; other names say nothing of the modality for certain."""
    return tuple(_CT if name.upper() == _CT else "" for name in channels)
