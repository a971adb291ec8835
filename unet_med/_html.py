"""Write small HTML tables for notebooks."""

from __future__ import annotations

from html import escape
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_ROWS = 50
"""Rows shown; a notebook with more is slow to scroll."""


def html_table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a title and a table as HTML, every text escaped; only `MAX_ROWS` rows are shown.

    Example:
        >>> html_table("1 label", ["name"], [["<b>"]])
        '<p>1 label</p><table><tr><th>name</th></tr><tr><td>&lt;b&gt;</td></tr></table>'
    """
    remaining = iter(rows)
    lines = [_row("th", header), *(_row("td", row) for row in islice(remaining, MAX_ROWS))]
    n_more = sum(1 for _ in remaining)
    more = f"<p>and {n_more} more</p>" if n_more else ""
    return f"<p>{escape(title)}</p><table>{''.join(lines)}</table>{more}"


def _row(tag: str, cells: Iterable[object]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(_text(cell))}</{tag}>' for cell in cells)}</tr>"


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)
