"""Options of ``unet-med evaluate``, and what they say of the scoring."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med.cli.label_options import SLICE_AXES, add_label_names, add_region, parse_labels

if TYPE_CHECKING:
    from unet_med.evaluation import MetricSettings

EMPTY_POLICIES = ("skip", "one", "zero")
"""The values of ``unet_med.metrics.EmptyPolicy``, written out so that --help loads no NumPy."""

METRICS = ("all", "counts")


def add_cohort(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments that say what is compared, and what the tables are of."""
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
    add_label_names(parser, purpose="names for the tables")
    parser.add_argument(
        "--bundle", type=Path, metavar="DIR", help="take label names from this bundle's recipe"
    )


def add_metrics(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments that say what is measured."""
    parser.add_argument(
        "--metrics",
        choices=METRICS,
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
    add_region(parser, purpose="score this union of labels too")
    parser.add_argument(
        "--against", type=Path, metavar="PATH", help="predictions to compare with, case by case"
    )
    parser.add_argument(
        "--jobs", type=parse_jobs, default=1, metavar="N", help="processes (default: 1)"
    )


def add_report(parser: argparse.ArgumentParser) -> None:
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


def scoring_of(args: argparse.Namespace) -> dict[str, Any]:
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
        "metrics": _metrics_of(args),
        "jobs": args.jobs,
        "command": _command_of(args),
    }


def _metrics_of(args: argparse.Namespace) -> MetricSettings:
    from unet_med.evaluation import MetricSettings, Region
    from unet_med.evaluation.settings import DEFAULT_TOLERANCE_MM

    default, by_label = args.tolerance
    return MetricSettings(
        shapes=args.metrics == "all",
        tolerance_mm=DEFAULT_TOLERANCE_MM if default is None else default,
        label_tolerances_mm=by_label,
        regions=tuple(Region(name, values) for name, values in args.region),
    )


def _command_of(args: argparse.Namespace) -> str:
    """Return a command line that gives the same files; what is not named has its default."""
    default, by_label = args.tolerance
    tolerances = [] if default is None else [f"{default:g}"]
    tolerances += [f"{label}={value:g}" for label, value in by_label.items()]
    given = {
        "predictions": args.predictions,
        "references": args.references,
        "against": args.against,
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
