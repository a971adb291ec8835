"""slices.csv, cases.csv and summary.json, each written whole or not at all."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING, Any

from unet_med._files import atomic_path, write_json
from unet_med.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from unet_med.evaluation.columns import Row

SLICES_FILE = "slices.csv"
CASES_FILE = "cases.csv"
SUMMARY_FILE = "summary.json"


def make_folder(path: Path) -> None:
    """Create a folder and those above it.

    Raises:
        OutputError: It cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        msg = f"cannot make the folder {path}: {exc.strerror or exc}; choose another --output"
        raise OutputError(msg) from exc


def write_table(path: Path, columns: Sequence[str], *, rows: Iterable[Row]) -> None:
    """Write rows as CSV (UTF-8, one header line); None is an empty field, infinity is ``inf``.

    Raises:
        OutputError: The file cannot be written.
    """
    with (
        atomic_path(path) as partial,
        partial.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write the summary as JSON; numbers that JSON lacks are null.

    Raises:
        OutputError: The file cannot be written.
    """
    write_json(path, without_nan(summary))


def without_nan(content: Any) -> Any:  # noqa: ANN401 - anything json can hold
    """Return JSON content with null for NaN and infinity.

    Example:
        >>> without_nan({"a": [1.5, float("nan")], "b": "nan"})
        {'a': [1.5, None], 'b': 'nan'}
    """
    if isinstance(content, dict):
        return {key: without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
