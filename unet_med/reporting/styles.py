"""How labels look: color, and what tells them apart without color."""

from __future__ import annotations

from typing import Any

from unet_med.reporting.overlay import LABEL_COLORS

PATTERNS = 6
"""Fills that the page knows: solid, two diagonals, horizontal, vertical, dots."""

DASHES = ((1, 0), (4, 2), (1, 1), (6, 1))
"""Drawn and left out along a line, in units of about three pixels."""

MARKERS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "plus", "x")

N_STYLES = 42
"""Colors and patterns repeat after 7 and 6: so many combinations differ."""


def label_style(number: int) -> dict[str, Any]:
    """Return how the label at a place of the list looks, JSON-ready."""
    return {
        "color": LABEL_COLORS[number % len(LABEL_COLORS)],
        "pattern": number % PATTERNS,
        "dash": list(DASHES[number % len(DASHES)]),
        "marker": MARKERS[number % len(MARKERS)],
    }
