"""``unet-med evaluate``: score predictions against references, slice by slice."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med.cli.format import print_comparison, print_scores
from unet_med.cli.options import add_label_names_option, add_region_option, parse_labels
from unet_med.cli.progress import case_progress_bar, print_case
from unet_med.geometry import SLICE_AXIS_NAMES

if TYPE_CHECKING:
    from unet_med._progress import CaseProgress
    from unet_med.evaluation import CohortScores, MetricSettings

EMPTY_POLICIES = ("skip", "one", "zero")
"""The values of ``unet_med.metrics.EmptyPolicy``, written out so that --help loads no NumPy."""

METRIC_SETS = ("all", "counts")

_DESCRIPTION = """\
Compare masks with reference masks of the same name. Writes slices.csv (one row per case, label
and slice), cases.csv (one row per case and label), summary.json, and report.html to look at, which
holds the scans that --images or sidecars name. The volume Dice of a case is 2·tp / (2·tp + fp + fn)
from the voxel counts of all its slices. A missing prediction scores 0 and its distances are
infinite. With --baseline also comparison.csv and comparison_slices.csv.
Exit code: 0 every case scored, 1 some predictions missing or cases failed, 2 nothing to compare."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command to the program's parser."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score predictions against references, slice by slice",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_cohort_options(parser)
    _add_metric_options(parser)
    _add_report_options(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print, and return the exit code."""
    from unet_med.evaluation import compare_cohorts, evaluate_cohort

    if args.images is not None:
        from unet_med.reporting import scans_in

        scans_in(args.images)  # a wrong path is told now, not after an hour of scoring
    with case_progress_bar("evaluate") as bar:
        options = _scoring_options(args) | {"output": args.output, "progress": bar or print_case}
        if args.baseline is None:
            comparison = None
            scores = evaluate_cohort(args.predictions, args.references, **options)
        else:
            comparison = compare_cohorts(
                args.predictions, args.baseline, references=args.references, **options
            )
            scores = comparison.candidate
        # A log has a line per case already; a bar begins anew.
        written = _write_report(args, scores, bar)
    if args.json:
        content = json.loads((args.output / "summary.json").read_text(encoding="utf-8"))
        print(json.dumps(content, indent=2))  # in ASCII: not every terminal or log is UTF-8
    else:
        print_scores(scores)
        if comparison is not None:
            print_comparison(comparison)
        more = "" if comparison is None else " comparison.csv comparison_slices.csv baseline/"
        print(f"written: {args.output}/slices.csv cases.csv summary.json{more}")
        for path in written:
            print(f"written: {path}")
    return scores.exit_code if comparison is None else comparison.exit_code


def _write_report(
    args: argparse.Namespace, scores: CohortScores, progress: CaseProgress | None
) -> list[Path]:
    """Write what people look at; return the files."""
    kinds = [] if args.no_report else ["html"]
    kinds += ["png"] if args.png else []
    if not kinds:
        return []
    from unet_med import api

    return api.report_scores(
        scores,
        args.predictions,
        args.references,
        output=args.output,
        images=args.images,
        kinds=kinds,
        progress=progress,
    )


def _add_cohort_options(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments that say what is compared, and what the tables are of."""
    for name, what in (("predictions", "masks to score"), ("references", "true masks")):
        parser.add_argument(
            f"--{name}", type=Path, required=True, metavar="PATH", help=f"{what}: a folder or file"
        )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the tables"
    )
    parser.add_argument(
        "--slice-axis", choices=SLICE_AXIS_NAMES, default="thickest", help="default: %(default)s"
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
    add_label_names_option(parser, purpose="names for the tables")
    parser.add_argument(
        "-b",
        "--bundle",
        type=Path,
        metavar="DIR",
        help="take label names from this bundle's recipe",
    )


def _add_metric_options(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments that say what is measured."""
    parser.add_argument(
        "--metrics",
        choices=METRIC_SETS,
        default="all",
        help="counts: what follows from voxel counts, in the memory of a few planes; all: surface "
        "distances and components too, which need the box around all labels (default: %(default)s)",
    )
    parser.add_argument(
        "--tolerance",
        type=parse_tolerances,
        default=(None, {}),
        metavar="MM|1=MM,…",
        help="of the surface Dice, for all labels or single ones (default: 1)",
    )
    add_region_option(parser, purpose="score this union of labels too")
    parser.add_argument(
        "--baseline", type=Path, metavar="PATH", help="predictions to compare with, case by case"
    )
    parser.add_argument(
        "--jobs", type=parse_jobs, default=1, metavar="N", help="processes (default: 1)"
    )


def _add_report_options(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments that say what is drawn."""
    parser.add_argument(
        "--images",
        type=Path,
        metavar="PATH",
        help="scans of the same names, for the report (default: those that sidecars name)",
    )
    parser.add_argument("--no-report", action="store_true", help="write the tables only")
    parser.add_argument(
        "--png",
        action="store_true",
        help="draw the worst and the median slice of each label into DIR/report_png",
    )


def _scoring_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of ``evaluate_cohort`` but the paths."""
    names: dict[int, str] = {}
    if args.bundle is not None:
        from unet_med.bundle import open_bundle

        names.update(open_bundle(args.bundle).recipe.labels)
    names.update(args.label_names or {})
    return {
        "slice_axis": args.slice_axis,
        "empty": args.empty,
        "labels": args.labels,
        "label_names": names,
        "metrics": _metric_settings(args),
        "jobs": args.jobs,
        "command": _command_line(args),
    }


def _metric_settings(args: argparse.Namespace) -> MetricSettings:
    from unet_med.evaluation import DEFAULT_TOLERANCE_MM, LabelRegion, MetricSettings

    default, by_label = args.tolerance
    return MetricSettings(
        surface_metrics=args.metrics == "all",
        tolerance_mm=DEFAULT_TOLERANCE_MM if default is None else default,
        label_tolerances_mm=by_label,
        regions=tuple(LabelRegion(name, values) for name, values in args.region),
    )


def _command_line(args: argparse.Namespace) -> str:
    """Return a command line that gives the same files; what is not named has its default."""
    default, by_label = args.tolerance
    tolerances = [] if default is None else [f"{default:g}"]
    tolerances += [f"{label}={value:g}" for label, value in by_label.items()]
    given = {
        "predictions": args.predictions,
        "references": args.references,
        "baseline": args.baseline,
        "output": args.output,
        "slice-axis": args.slice_axis,
        "empty": args.empty,
        "labels": ",".join(map(str, args.labels or ())),
        "label-names": ",".join(f"{k}={v}" for k, v in (args.label_names or {}).items()),
        "bundle": args.bundle,
        "metrics": args.metrics,
        "tolerance": ",".join(tolerances),
        "images": args.images,
    }
    words = ["unet-med", "evaluate"]
    for name, value in given.items():
        words += [f"--{name}", str(value)] if value else []
    words += [f"--{name}" for name in ("no-report", "png") if getattr(args, name.replace("-", "_"))]
    for name, values in args.region:
        words += ["--region", f"{name}=" + ",".join(map(str, values))]
    return shlex.join(words)


def parse_tolerances(text: str) -> tuple[float | None, dict[int | str, float]]:
    """Parse ``1.5``, ``1=2.0,2=1.0`` or both as ``1.5,2=1.0,whole=3``."""
    parts = [part.rpartition("=") for part in text.split(",")]
    try:
        by_label: dict[int | str, float] = {
            int(label) if label.isdecimal() else label.strip(): float(value)
            for label, _, value in parts
        }
    except ValueError:
        by_label = {}
    if len(by_label) != len(parts):
        msg = f"{text!r} gives no tolerances in mm; write for example 1.5 or 1=2.0,2=1.0"
        raise argparse.ArgumentTypeError(msg)
    return by_label.pop("", None), by_label


def parse_jobs(text: str) -> int:
    """Parse a number of processes."""
    if not text.isdecimal() or int(text) < 1:
        msg = f"{text!r} is no number of processes; write 1 or more"
        raise argparse.ArgumentTypeError(msg)
    return int(text)
