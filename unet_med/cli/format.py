"""Print results as tables: scores, comparisons, and a checked data set with its plan."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from unet_med.cases import CaseStats, CheckedCases, LabeledCase
    from unet_med.evaluation import CohortScores, Comparison
    from unet_med.training.planning import PlannedTraining

N_WORST_SLICES = 5

MAX_ROWS = 40
"""Cases that are printed; --json lists them all."""


LOG_WIDTH = 120
"""Columns of the tables in a log, which does not say how wide it is."""


_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def print_scores(scores: CohortScores) -> None:
    """Print volume Dice per label, the worst slices, and what has no score."""
    summary = scores.summary
    print_table(
        "Volume Dice",
        ("label", "name", "n", "mean", "median", "min", "95 % of mean"),
        rows=[
            (
                str(one["label"]), one["name"], str(one["n"]), *_statistics(one["volume_dice"]),
                _interval(one["volume_dice"]["ci95"]),
            )
            for one in summary["labels"]
        ],
    )  # fmt: skip
    if scores.settings.metrics.surface_metrics:
        _print_surfaces(summary)
    worst = [row for row in scores.worst_slices(N_WORST_SLICES) if row["dice"] < 1]
    if worst:
        print_table(
            "Worst slices",
            ("case", "label", "slice", "mm", "dice", "state"),
            rows=[
                (
                    row["case"], row["label_name"] or str(row["label"]), str(row["slice"]),
                    f"{row['position_mm']:.1f}", f"{row['dice']:.3f}", row["state"],
                )
                for row in worst
            ],
        )  # fmt: skip
    _print_unscored(summary)


def print_comparison(comparison: Comparison) -> None:
    """Print the difference in volume Dice per label."""
    rows = []
    for one in comparison.summary["labels"]:
        found = one["volume_dice"]
        test = found["wilcoxon"]
        rows.append(
            (
                str(one["label"]), one["name"], str(found["n"]),
                format_number(found["mean_difference"], "+.4f"), _interval(found["ci95"], "+.4f"),
                f"- ({test['reason']})" if test["p"] is None else format_number(test["p"], ".3g"),
                f"{found['better']}/{found['worse']}/{found['equal']}",
                "{better}/{worse}/{equal}".format(**one["slices"]),
            )
        )  # fmt: skip
    columns = ("label", "name", "n", "difference", "95 %", "Wilcoxon p", "cases +/-/=")
    print_table("Volume Dice, difference", (*columns, "slices +/-/="), rows=rows)


def _print_surfaces(summary: dict[str, Any]) -> None:
    """Print distances per label; a mean with a miss in it is infinite."""
    rows = []
    for one in summary["labels"]:
        distance, within = one["hd95_mm"], one["surface_dice"]
        rows.append(
            (
                str(one["label"]), one["name"], str(distance["n_infinite"]),
                format_number(distance["median"], ".2f"),
                format_number(one["assd_mm"]["median"], ".2f"),
                format_number(within["mean"], ".4f"),
            )
        )  # fmt: skip
    columns = ("label", "name", "misses", "HD95 median", "ASSD median", "surface Dice")
    print_table("Surfaces, in mm", columns, rows=rows)


def _print_unscored(summary: dict[str, Any]) -> None:
    cases = summary["cases"]
    if len(summary["slice_axes"]) > 1:
        axes = ", ".join(f"{name} {count}" for name, count in summary["slice_axes"].items())
        print(f"slice axes differ between cases: {axes}; --slice-axis chooses one for all")
    for case in cases["missing"]:
        print(f"missing: {case} has no prediction and scores 0")
    for extra in cases["extra"]:
        near = f" (near: {', '.join(extra['nearest'])})" if extra["nearest"] else ""
        print(f"extra: {extra['case']} has no reference and is not scored{near}")
    for foreign in cases["unexpected_labels"]:
        values = ", ".join(map(str, foreign["values"]))
        print(
            f"foreign: the prediction of {foreign['case']} holds label {values}, which no "
            "reference holds and no option names; correct the mask, or choose with --labels"
        )
    for failed in cases["failed"]:
        print(f"failed: {failed['case']}: {failed['error']}")
    print(
        f"{len(cases['scored'])} scored, {len(cases['missing'])} missing, "
        f"{len(cases['failed'])} failed, {len(cases['extra'])} extra"
    )


def _statistics(values: dict[str, float | None]) -> tuple[str, ...]:
    return tuple(format_number(values[name], ".4f") for name in ("mean", "median", "min"))


def format_number(value: float | None, spec: str) -> str:
    """Return a number as text, or ``-`` when there is none.

    Example:
        >>> format_number(0.25, ".1%"), format_number(None, ".1%")
        ('25.0%', '-')
    """
    return "-" if value is None else format(value, spec)


def _interval(ends: list[float] | None, spec: str = ".4f") -> str:
    return "-" if ends is None else " to ".join(format(end, spec) for end in ends)


def print_table(title: str, columns: tuple[str, ...], *, rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table: drawn on a terminal, aligned plain text elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table(*columns, title=title, title_justify="left")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    print(title)
    for row in (columns, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  " + "  ".join(cells).rstrip())


def print_planned(planned: PlannedTraining) -> None:
    """Print rules, cases, labels, issues and decisions."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, soft_wrap=True, markup=False, width=LOG_WIDTH)
    checked = planned.checked
    console.print(f"{len(checked.found.cases)} cases: {checked.found.rule}")
    console.print(checked.found.patients)
    console.print(_case_table(checked))
    if len(checked.found.cases) > MAX_ROWS:
        console.print(f"and {len(checked.found.cases) - MAX_ROWS} more; --json lists all")
    console.print(_label_table(checked))
    for issue in checked.issues:
        console.print(f"{issue.severity}: {issue.text}", style=_STYLES[issue.severity])
    if planned.plan is None:
        n_errors = len(checked.errors)
        console.print(f"{n_errors} error{'s' if n_errors > 1 else ''}: training cannot start")
        return
    console.print("\nplan", style="bold")
    for note in planned.plan.notes:
        console.print(f"  {note}")


def _case_table(checked: CheckedCases) -> Table:
    rows = zip(checked.found.cases, checked.case_stats, strict=True)
    table = _new_table("case", "patient", "voxels", "spacing (mm)", "intensity", "labeled (ml)")
    for case, stats in list(rows)[:MAX_ROWS]:
        table.add_row(*_case_row(case, stats))
    return table


def _case_row(case: LabeledCase, stats: CaseStats) -> tuple[str, ...]:
    if stats.problem is not None:
        return case.id, case.patient, "cannot be used", "", "", ""
    ranges = "; ".join(f"{c.low:.4g} … {c.high:.4g}" for c in stats.channels)
    volume = "0" if stats.labeled is None else f"{stats.labeled.volume_ml:.4g}"
    return (
        case.id,
        case.patient,
        " × ".join(map(str, stats.shape)),
        " × ".join(f"{size:.3g}" for size in stats.spacing_mm),
        ranges,
        volume,
    )


def _label_table(checked: CheckedCases) -> Table:

    table = _new_table("label", "name", "cases", "voxels", "volume (ml)")
    for value, facts in checked.label_table().items():
        low, high = facts["volume_ml"]
        name = "(ignored)" if facts["ignored"] else facts["name"]
        cells: Sequence[Any] = (value, name, facts["n_cases"], facts["n_voxels"])
        table.add_row(*map(str, cells), f"{low:.4g} … {high:.4g}")
    return table


def _new_table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def pluralize(number: int, noun: str) -> str:
    """Return a number and its noun, singular or plural.

    Example:
        >>> pluralize(1, "thread"), pluralize(2, "thread")
        ('1 thread', '2 threads')
    """
    return f"{number} {noun}" + ("" if number == 1 else "s")
