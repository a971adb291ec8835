"""A checked data set and its plan, printed as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unet_med.dataset import label_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from unet_med.dataset import CaseSurvey, CheckedCases, LabeledCase
    from unet_med.planning import Planned

MOST_ROWS = 40
"""Cases that are printed; --json has them all."""

LOG_WIDTH = 120
"""Columns of the tables in a log, which does not say how wide it is."""

_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def print_planned(planned: Planned) -> None:
    """Print rules, cases, labels, findings and decisions."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, soft_wrap=True, markup=False, width=LOG_WIDTH)
    checked = planned.checked
    console.print(f"{len(checked.found.cases)} cases: {checked.found.rule}")
    console.print(checked.found.patients)
    console.print(_case_table(checked))
    if len(checked.found.cases) > MOST_ROWS:
        console.print(f"and {len(checked.found.cases) - MOST_ROWS} more; --json lists all")
    console.print(_label_table(checked))
    for finding in checked.findings:
        console.print(f"{finding.severity}: {finding.text}", style=_STYLES[finding.severity])
    if planned.plan is None:
        n_errors = len(checked.errors)
        console.print(f"{n_errors} error{'s' if n_errors > 1 else ''}: training cannot start")
        return
    console.print("\nplan", style="bold")
    for note in planned.plan.notes:
        console.print(f"  {note}")


def _case_table(checked: CheckedCases) -> Table:
    rows = zip(checked.found.cases, checked.surveys, strict=True)
    table = _table("case", "patient", "voxels", "spacing (mm)", "intensity", "labeled (ml)")
    for case, survey in list(rows)[:MOST_ROWS]:
        table.add_row(*_case_row(case, survey))
    return table


def _case_row(case: LabeledCase, survey: CaseSurvey) -> tuple[str, ...]:
    if survey.problem is not None:
        return case.id, case.patient, "cannot be used", "", "", ""
    ranges = "; ".join(f"{c.low:.4g} … {c.high:.4g}" for c in survey.channels)
    volume = "0" if survey.labeled is None else f"{survey.labeled.volume_ml:.4g}"
    return (
        case.id,
        case.patient,
        " × ".join(map(str, survey.shape)),
        " × ".join(f"{size:.3g}" for size in survey.spacing_mm),
        ranges,
        volume,
    )


def _label_table(checked: CheckedCases) -> Table:
    table = _table("label", "name", "cases", "voxels", "volume (ml)")
    for value, facts in label_table(checked).items():
        low, high = facts["volume_ml"]
        name = "(ignored)" if facts["ignored"] else facts["name"]
        cells: Sequence[Any] = (value, name, facts["n_cases"], facts["n_voxels"])
        table.add_row(*map(str, cells), f"{low:.4g} … {high:.4g}")
    return table


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
