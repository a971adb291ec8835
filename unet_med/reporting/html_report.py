"""From a report and its pictures to files: one page, or a folder of pages when it is large."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from unet_med.errors import OutputError
from unet_med.reporting.charts import N_STYLES, cohort_chart, curve_chart, label_style
from unet_med.reporting.html_page import GENERATOR_MARK, script_json, write_page
from unet_med.reporting.report_data import BoxPlot, Report, to_json_value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unet_med.reporting.report_data import CaseImageStore, CasePage

REPORT_FILE = "report.html"
CASES_FOLDER = "report_cases"

ONE_PAGE_BYTES = 12_000_000
"""Pictures of several cases go into one page up to here; with Bokeh and the tables it then stays
below 15 MB, which a browser opens at once and a mail server takes."""

_NAME_LENGTH = 60
_MARK_BYTES = 400  # the start of a page, in which it says who wrote it


def write_report(report: Report, pictures: CaseImageStore, output: Path) -> Path:
    """Write report.html into a folder, and report_cases/ when the cases are too large for one file.

    Pages of an earlier report in report_cases/ are removed; other files there stay.

    Args:
        report: What it says.
        pictures: The pictures of the cases; a case without any is listed only.
        output: The folder.

    Returns:
        The page to open.

    Raises:
        OutputError: A file cannot be written.
    """
    shown = [case.id for case in report.cases if case.id in pictures]
    for case in shown:
        page = _case_content(report.page_of(case), pictures.read(case))
        pictures.add_page(case, script_json(page))
    apart = len(shown) > 1 and pictures.size > ONE_PAGE_BYTES
    _remove_pages(output / CASES_FOLDER)
    names = {case: _file_name(number, case) for number, case in enumerate(shown)}
    if apart:
        for case in shown:
            _write_case(report, pictures, case=case, names=names, folder=output / CASES_FOLDER)
    links = {case: f"{CASES_FOLDER}/{names[case]}" if apart else "" for case in shown}
    write_page(
        output / REPORT_FILE,
        title=report.title,
        report=_content(report, links),
        pages=() if apart else _pages(report, pictures),
    )
    return output / REPORT_FILE


def _pages(report: Report, pictures: CaseImageStore) -> Iterator[str]:
    for case in report.cases:
        yield pictures.read_page(case.id) if case.id in pictures else ""


def _write_case(
    report: Report, pictures: CaseImageStore, *, case: str, names: dict[str, str], folder: Path
) -> None:
    """Write the page of one case, with ways to its neighbors."""
    alone = replace(
        report,
        rows=tuple(row for row in report.rows if row.case == case),
        cases=tuple(entry for entry in report.cases if entry.id == case),
        problems=(),
    )
    ordered = list(names)
    at = ordered.index(case)
    links = [["← all cases", f"../{REPORT_FILE}"]]
    links += [["previous", names[ordered[at - 1]]]] if at else []
    links += [["next", names[ordered[at + 1]]]] if at + 1 < len(ordered) else []
    content = _content(alone, {case: ""}) | {"links": links}
    title = f"{case} · {report.title}"
    write_page(folder / names[case], title=title, report=content, pages=_pages(alone, pictures))


def _content(report: Report, links: dict[str, str]) -> dict[str, Any]:
    """Return what a page knows besides its cases, JSON-ready."""
    styles = [label_style(number) for number in range(N_STYLES)]
    labels: list[dict[str, Any]] = [
        {"key": key, "name": name, "style": label_style(number)}
        for number, (key, name) in enumerate(report.labels)
    ]
    keys = [key for key, _ in report.labels]
    places = {case.id: number for number, case in enumerate(report.cases)}
    return {
        "kind": report.kind,
        "labels": labels,
        "styles": styles,
        "columns": [_column(column) for column in report.columns],
        "rows": [
            {
                "case": places[row.case],
                "label": row.label,
                "values": {name: to_json_value(value) for name, value in row.values.items()},
            }
            for row in report.rows
        ],
        "boxes": {
            column.name: BoxPlot(column, report.rows, keys).as_list() for column in report.columns
        },
        "cases": [
            {
                "id": case.id,
                "status": case.status,
                "reason": case.reason,
                "href": links.get(case.id),
            }
            for case in report.cases
        ],
        "problems": [
            {"kind": one.kind, "title": one.title, "items": list(one.items)}
            for one in report.problems
        ],
        "metric_notes": [list(pair) for pair in report.metric_notes],
        "provenance": [list(pair) for pair in report.provenance],
        "curve_chart": _curve_chart(len(labels)),
        # A page of one case has no chart of all cases.
        "cohort_chart": cohort_chart([f"{key} {name}".strip() for key, name in report.labels])
        if len(report.cases) > 1
        else None,
        "links": [],
    }


@lru_cache(maxsize=1)
def _curve_chart(n_labels: int) -> dict[str, Any]:
    """Describe the chart of the curves once for all pages: Bokeh takes its time over it."""
    return curve_chart([label_style(number) for number in range(n_labels)])


def _column(column: Any) -> dict[str, Any]:  # noqa: ANN401 - a ReportColumn
    low, high = column.limits or (None, None)
    return {
        "name": column.name,
        "title": column.title,
        "better": column.better,
        "digits": column.digits,
        "low": low,
        "high": high,
        "help": column.help,
    }


def _case_content(page: CasePage, pictures: dict[str, Any]) -> dict[str, Any]:
    return {
        **pictures,
        "curves": [
            {
                "title": curve.title,
                "digits": curve.digits,
                "high": curve.high,
                "series": [
                    {
                        "label": one.label,
                        "y": [_short(value) for value in one.y],
                        "reference": None
                        if one.reference is None
                        else [_short(value) for value in one.reference],
                    }
                    for one in curve.series
                ],
            }
            for curve in page.curves
        ],
        "worst": [{"slice": one.slice, "text": one.text} for one in page.worst],
        "volume_title": page.volume_title,
        "volume_values": {
            str(key): to_json_value(value) for key, value in page.volume_values.items()
        },
        "volume_digits": page.volume_digits,
        "facts": [list(pair) for pair in (*page.facts, *pictures["facts"])],
        "notes": [*page.notes, *pictures["notes"]],
    }


def _short(value: float | None) -> float | None:
    """Return a value of a curve with four digits after the point; a chart shows no more."""
    return None if value is None else round(value, 4)


def _file_name(number: int, case: str) -> str:
    """Return a file name that any file system and any link takes.

    Example:
        >>> _file_name(3, "site/a b?")
        '0003_site_a_b_.html'
    """
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", case)[:_NAME_LENGTH]
    return f"{number:04d}_{plain}.html"


def _remove_pages(folder: Path) -> None:
    """Remove the pages of an earlier report, and the folder if nothing else is in it."""
    if not folder.is_dir():
        return
    try:
        for path in folder.glob("*.html"):
            with path.open("rb") as stream:
                start = stream.read(_MARK_BYTES)
            if GENERATOR_MARK in start:
                path.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
    except OSError as exc:
        msg = f"cannot replace the pages in {folder}: {exc.strerror or exc}; check rights"
        raise OutputError(msg) from exc
