"""Values of ``unet-med evaluate``'s options, parsed."""

from __future__ import annotations

import argparse


def parse_labels(text: str) -> tuple[int, ...]:
    """Parse ``1,2,7``."""
    try:
        return tuple(int(value) for value in text.split(","))
    except ValueError as exc:
        msg = f"{text!r} is no list of label values; write for example 1,2,7"
        raise argparse.ArgumentTypeError(msg) from exc


def parse_label_names(text: str) -> dict[int, str]:
    """Parse ``1=csf,2=grey matter``."""
    pairs = [part.partition("=") for part in text.split(",")]
    try:
        names = {int(value): name.strip() for value, _, name in pairs}
    except ValueError:
        names = {}
    if len(names) != len(pairs) or not all(names.values()):
        msg = f"{text!r} names no labels; write for example 1=csf,2=grey matter"
        raise argparse.ArgumentTypeError(msg)
    return names


def parse_region(text: str) -> tuple[str, tuple[int, ...]]:
    """Parse ``whole=1,2,3``."""
    name, _, values = text.partition("=")
    if not name.strip() or not values:
        msg = f"{text!r} is no region; write for example whole=1,2,3"
        raise argparse.ArgumentTypeError(msg)
    return name.strip(), parse_labels(values)


def parse_tolerances(text: str) -> tuple[float | None, dict[int | str, float]]:
    """Parse ``1.5``, ``1=2.0,2=1.0`` or both as ``1.5,2=1.0,whole=3``."""
    parts = [part.rpartition("=") for part in text.split(",")]
    try:
        by_label: dict[int | str, float] = {
            int(label) if label.isdecimal() else label.strip(): float(value)
            for label, _, value in parts
        }
    except ValueError:
        by_label = {}
    if len(by_label) != len(parts):
        msg = f"{text!r} gives no tolerances in mm; write for example 1.5 or 1=2.0,2=1.0"
        raise argparse.ArgumentTypeError(msg)
    return by_label.pop("", None), by_label


def parse_jobs(text: str) -> int:
    """Parse a number of processes."""
    if not text.isdecimal() or int(text) < 1:
        msg = f"{text!r} is no number of processes; write 1 or more"
        raise argparse.ArgumentTypeError(msg)
    return int(text)
