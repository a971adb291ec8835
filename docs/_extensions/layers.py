"""Draw the layers of ``pyproject.toml`` as a picture: the directive ``layers`` for Sphinx."""

from __future__ import annotations

import html
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from docutils.parsers.rst import Directive

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
_WIDTH, _ROW, _GAP = 760, 34, 10


def layers() -> list[list[str]]:
    """Return the packages of each layer, the highest first, as the import contract states them."""
    settings = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    rows = next(one["layers"] for one in contracts if one["type"] == "layers")
    return [re.split(r"\s*[|:]\s*", row) for row in rows]


def draw(rows: list[list[str]]) -> str:
    """Return an SVG picture with one row of boxes per layer."""
    height = len(rows) * (_ROW + _GAP) + _GAP
    start = (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg" '
        'style="max-width: 100%; font: 13px sans-serif" aria-label="Layers of the package">'
    )
    parts = [start]
    for number, row in enumerate(rows):
        width = (_WIDTH - _GAP * (len(row) + 1)) / len(row)
        top = _GAP + number * (_ROW + _GAP)
        for column, name in enumerate(row):
            left = _GAP + column * (width + _GAP)
            parts.append(
                f'<rect x="{left:.0f}" y="{top}" width="{width:.0f}" height="{_ROW}" rx="4" '
                'fill="none" stroke="currentColor"/>'
                f'<text x="{left + width / 2:.0f}" y="{top + 22}" text-anchor="middle" '
                f'fill="currentColor">{html.escape(name)}</text>'
            )
    return "".join([*parts, "</svg>"])


class Layers(Directive):
    """The picture as raw HTML."""

    def run(self) -> list[nodes.Node]:
        """Return the picture."""
        return [nodes.raw("", draw(layers()), format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("layers", Layers)
    return {"parallel_read_safe": True}
