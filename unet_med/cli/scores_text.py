"""What ``unet-med evaluate`` prints: scores per label, the worst slices, what has no score."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unet_med.evaluation import CohortScores, Comparison

WORST_SLICES = 5


def print_scores(scores: CohortScores) -> None:
    """Print volume Dice per label, the worst slices, and what has no score."""
    summary = scores.summary
    _print_table(
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
    if scores.settings.metrics.shapes:
        _print_surfaces(summary)
    worst = [row for row in scores.worst_slices(WORST_SLICES) if row["dice"] < 1]
    if worst:
        _print_table(
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
                _number(found["mean_difference"], "+.4f"), _interval(found["ci95"], "+.4f"),
                _number(test["p"], ".3g") if test["p"] is not None else f"- ({test['reason']})",
                f"{found['better']}/{found['worse']}/{found['equal']}",
                "{better}/{worse}/{equal}".format(**one["slices"]),
            )
        )  # fmt: skip
    columns = ("label", "name", "n", "difference", "95 %", "Wilcoxon p", "cases +/-/=")
    _print_table("Volume Dice, difference", (*columns, "slices +/-/="), rows=rows)


def _print_surfaces(summary: dict[str, Any]) -> None:
    """Print distances per label; a mean with a miss in it is infinite."""
    rows = []
    for one in summary["labels"]:
        distance, within = one["hd95_mm"], one["surface_dice"]
        rows.append(
            (
                str(one["label"]), one["name"], str(distance["n_infinite"]),
                _number(distance["median"], ".2f"), _number(one["assd_mm"]["median"], ".2f"),
                _number(within["mean"], ".4f"),
            )
        )  # fmt: skip
    columns = ("label", "name", "misses", "HD95 median", "ASSD median", "surface Dice")
    _print_table("Surfaces, in mm", columns, rows=rows)


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
    for foreign in cases["foreign_labels"]:
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
    return tuple(_number(values[name], ".4f") for name in ("mean", "median", "min"))


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _interval(ends: list[float] | None, form: str = ".4f") -> str:
    return "-" if ends is None else " to ".join(format(end, form) for end in ends)


def _print_table(title: str, columns: tuple[str, ...], *, rows: Sequence[tuple[str, ...]]) -> None:
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
