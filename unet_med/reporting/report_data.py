"""What a report says, and the images of its cases: on disk until the page is written."""

from __future__ import annotations

import json
import shutil
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med._files import PARTIAL_PREFIX
from unet_med.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unet_med.evaluation.scores import LabelKey

    Value = float | int | str | None
    from collections.abc import Iterator
    from pathlib import Path

_QUARTILES = np.array((0, 0.25, 0.5, 0.75, 1))


@dataclass(frozen=True, slots=True)
class ReportColumn:
    """One number per case and label.

    Attributes:
        name: Name in the rows.
        title: Words for people.
        better: ``higher``, ``lower``, ``nearest to zero``, or empty for no score.
        digits: Shown after the point.
        limits: Smallest and largest possible value, where there are such.
        help: What it means, one sentence.
    """

    name: str
    title: str
    better: str = ""
    digits: int = 3
    limits: tuple[float, float] | None = None
    help: str = ""


@dataclass(frozen=True, slots=True)
class ReportRow:
    """The numbers of a case and a label; None where there is none."""

    case: str
    label: LabelKey | None
    values: dict[str, Value]


@dataclass(frozen=True, slots=True)
class CaseEntry:
    """A case in the list: how it ended, and why it cannot be shown if it cannot."""

    id: str
    status: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Cases that need attention: ``failed``, ``missing`` or ``extra``, one line each."""

    kind: str
    title: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelSeries:
    """A curve of one label over the slices; None where there is no value.

    Attributes:
        label: The label.
        y: One value per slice, in the file's order.
        reference: The same of the reference, where that is another value.
    """

    label: LabelKey
    y: Sequence[float | None]
    reference: Sequence[float | None] | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """What can be drawn over the slices of a case; ``high`` None: as high as the values."""

    title: str
    series: tuple[LabelSeries, ...]
    digits: int = 3
    high: float | None = 1.0


MAX_REVIEW_SLICES = 20
"""Slices to look at, listed per case."""


@dataclass(frozen=True, slots=True)
class WorstSlice:
    """A slice to look at first, and why."""

    slice: int
    text: str


@dataclass(frozen=True, slots=True)
class CasePage:
    """What a page says about one case, beside its pictures.

    Attributes:
        curves: Curves, the first one shown first.
        worst: Slices to look at, worst first.
        volume_title: Heading of the values per label.
        volume_values: One value per label.
        volume_digits: Shown after the point.
        facts: Names and values.
        notes: What a reader must know, one sentence each.
    """

    curves: tuple[Curve, ...]
    worst: tuple[WorstSlice, ...]
    volume_title: str
    volume_values: dict[LabelKey, float | None]
    volume_digits: int = 3
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A report over cases.

    Attributes:
        title: Heading of the page.
        kind: ``evaluation`` or ``segmentation``.
        labels: Labels and regions with their names, in the order of their styles.
        columns: Columns of the table.
        rows: One per case and label.
        cases: All cases.
        page_of: Gives the page of a case that has pictures.
        problems: What needs attention.
        metric_notes: What the numbers mean.
        provenance: Where they come from.
    """

    title: str
    kind: str
    labels: tuple[tuple[LabelKey, str], ...]
    columns: tuple[ReportColumn, ...]
    rows: tuple[ReportRow, ...]
    cases: tuple[CaseEntry, ...]
    page_of: Callable[[str], CasePage]
    problems: tuple[Problem, ...] = ()
    metric_notes: tuple[tuple[str, str], ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class BoxPlot:
    """Quartiles per label of one column; infinite values count."""

    column: ReportColumn
    rows: Sequence[ReportRow]
    labels: Sequence[LabelKey] = field(default=())

    def as_list(self) -> list[dict[str, Any]]:
        """Return ``label, low, q1, median, q3, high`` per label with values, JSON-ready."""
        found = []
        for label in self.labels:
            values = [row.values.get(self.column.name) for row in self.rows if row.label == label]
            numbers = np.array([v for v in values if isinstance(v, int | float)], np.float64)
            if numbers.size:
                # Between a finite and an infinite value there is nothing to interpolate.
                finite = bool(np.isfinite(numbers).all())
                ends = np.quantile(
                    numbers, _QUARTILES, method="linear" if finite else "inverted_cdf"
                )
                names = ("low", "q1", "median", "q3", "high")
                found.append(
                    {"label": label, **dict(zip(names, map(to_json_value, ends), strict=True))}
                )
        return found


def to_json_value(value: Any) -> Value:  # noqa: ANN401 - numbers of Python and NumPy, text, None
    """Return a number for JSON: infinity is the text ``inf``, NaN is None, floats are short."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    if np.isnan(value):
        return None
    return "inf" if np.isinf(value) else float(f"{value:.6g}")


class CaseImageStore:
    """Pictures by case id, in a folder.

    Args:
        folder: Where to put them; it exists.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, Path] = {}
        self._sizes: dict[str, int] = {}

    def add(self, case: str, pictures: dict[str, Any]) -> None:
        """Keep the pictures of a case, as `unet_med.reporting.case_images` makes them.

        Raises:
            OutputError: They cannot be written.
        """
        self._write(case, json.dumps(pictures, allow_nan=False))

    def _write(self, case: str, text: str) -> None:
        path = self._files.get(case, self.folder / f"{uuid.uuid4().hex}.json")
        try:
            path.write_text(text, encoding="ascii")
        except OSError as exc:
            msg = f"cannot write {path}: {exc.strerror or exc}; check rights and free space"
            raise OutputError(msg) from exc
        self._files[case], self._sizes[case] = path, len(text)

    def read(self, case: str) -> dict[str, Any]:
        """Return the pictures of a case."""
        content: dict[str, Any] = json.loads(self._files[case].read_text(encoding="ascii"))
        return content

    def discard(self, case: str) -> None:
        """Forget the pictures of a case, if there are any."""
        if path := self._files.pop(case, None):
            path.unlink(missing_ok=True)
            del self._sizes[case]

    def __contains__(self, case: object) -> bool:
        """Whether the case has pictures."""
        return case in self._files

    def add_page(self, case: str, text: str) -> None:
        """Keep what a page holds of a case, in place of its pictures.

        Raises:
            OutputError: It cannot be written.
        """
        self._write(case, text)

    def read_page(self, case: str) -> str:
        """Return what `add_page` kept."""
        return self._files[case].read_text(encoding="ascii")

    @property
    def cases(self) -> tuple[str, ...]:
        """Cases with pictures, in the order they were added."""
        return tuple(self._files)

    @property
    def size(self) -> int:
        """Characters of all pictures."""
        return sum(self._sizes.values())


@contextmanager
def case_image_store(output: Path) -> Iterator[CaseImageStore]:
    """Yield a store in a hidden folder beside the report, and remove it.

    Raises:
        OutputError: The folder cannot be made.
    """
    folder = output / f"{PARTIAL_PREFIX}{uuid.uuid4().hex}.report"
    try:
        folder.mkdir(parents=True)
    except OSError as exc:
        msg = f"cannot make the folder {folder}: {exc.strerror or exc}; choose another --output"
        raise OutputError(msg) from exc
    try:
        yield CaseImageStore(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
