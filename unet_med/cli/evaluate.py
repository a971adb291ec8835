"""``unet-med evaluate``: score predictions against references, slice by slice."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unet_med.evaluation import CohortScores
    from unet_med.evaluation.cohort import Progress

SLICE_AXES = ("axial", "coronal", "sagittal", "thickest")
"""The names that ``unet_med.geometry`` knows, written out so that --help loads no NumPy."""

EMPTY_POLICIES = ("skip", "one", "zero")
"""The values of ``unet_med.metrics.EmptyPolicy``, written out for the same reason."""

WORST_SLICES = 5

_DESCRIPTION = """\
Compare masks with reference masks of the same name. Writes slices.csv (one row per case, label
and slice), cases.csv (one row per case and label) and summary.json. The volume Dice of a case is
2·tp / (2·tp + fp + fn) from the voxel counts of all its slices. A missing prediction scores 0.
Exit code: 0 every case scored, 1 some predictions missing or cases failed, 2 nothing to compare."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command to the program's parser."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score predictions against references, slice by slice",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, what in (("predictions", "masks to score"), ("references", "true masks")):
        parser.add_argument(
            f"--{name}", type=Path, required=True, metavar="PATH", help=f"{what}: a folder or file"
        )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder for the tables"
    )
    parser.add_argument(
        "--slice-axis", choices=SLICE_AXES, default="thickest", help="default: %(default)s"
    )
    parser.add_argument(
        "--empty",
        choices=EMPTY_POLICIES,
        default="skip",
        help="what a slice without the label in either mask counts for in means over slices: "
        "nothing, 1 or 0 (default: %(default)s); volume Dice does not depend on it",
    )
    parser.add_argument(
        "--labels", type=parse_labels, metavar="1,2,…", help="values to score (default: all found)"
    )
    parser.add_argument(
        "--label-names", type=parse_label_names, metavar="1=a,2=b,…", help="names for the tables"
    )
    parser.add_argument(
        "--bundle", type=Path, metavar="DIR", help="take label names from this bundle's recipe"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


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


def run(args: argparse.Namespace) -> int:
    """Evaluate, print, and return the exit code."""
    scores = _evaluate(args)
    if args.json:
        from unet_med.evaluation.tables import without_nan

        print(json.dumps(without_nan(scores.summary), ensure_ascii=False, indent=2))
    else:
        print_scores(scores)
        print(f"written: {args.output}/slices.csv cases.csv summary.json")
    return scores.exit_code


def _evaluate(args: argparse.Namespace) -> CohortScores:
    from unet_med.evaluation import evaluate_cohort
    from unet_med.metrics import EmptyPolicy

    names: dict[int, str] = {}
    if args.bundle is not None:
        from unet_med.bundle import open_bundle

        names.update(open_bundle(args.bundle).recipe.labels)
    names.update(args.label_names or {})
    with _progress() as progress:
        return evaluate_cohort(
            args.predictions,
            args.references,
            output=args.output,
            slice_axis=args.slice_axis,
            empty=EmptyPolicy(args.empty),
            labels=args.labels,
            label_names=names,
            progress=progress,
        )


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show a bar on a terminal, a line per case in a log; standard output stays free."""
    if not sys.stderr.isatty():

        def print_line(done: int, total: int, case: str) -> None:
            print(f"[{done}/{total}] {case}", file=sys.stderr)

        yield print_line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("evaluate")

        def advance(done: int, total: int, case: str) -> None:
            bar.update(task, completed=done, total=total, description=case)

        yield advance


def print_scores(scores: CohortScores) -> None:
    """Print volume Dice per label, the worst slices, and what has no score."""
    summary = scores.summary
    _print_table(
        "Volume Dice",
        ("label", "name", "n", "mean", "median", "min"),
        rows=[
            (str(one["label"]), one["name"], str(one["n"]), *_statistics(one["volume_dice"]))
            for one in summary["labels"]
        ],
    )
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
    for failed in cases["failed"]:
        print(f"failed: {failed['case']}: {failed['error']}")
    print(
        f"{len(cases['scored'])} scored, {len(cases['missing'])} missing, "
        f"{len(cases['failed'])} failed, {len(cases['extra'])} extra"
    )


def _statistics(values: dict[str, float | None]) -> tuple[str, ...]:
    numbers = (values[name] for name in ("mean", "median", "min"))
    return tuple("-" if number is None else f"{number:.4f}" for number in numbers)


def _print_table(title: str, columns: tuple[str, ...], *, rows: list[tuple[str, ...]]) -> None:
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
