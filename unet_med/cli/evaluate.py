"""``unet-med evaluate``: score predictions against references, slice by slice."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from unet_med.cli.evaluate_options import add_cohort, add_metrics, add_report, scoring_of
from unet_med.cli.scores_text import print_comparison, print_scores
from unet_med.cli.stderr import case_bar, say_case

if TYPE_CHECKING:
    from pathlib import Path

    from unet_med.evaluation import CohortScores
    from unet_med.evaluation.cohort import Progress

_DESCRIPTION = """\
Compare masks with reference masks of the same name. Writes slices.csv (one row per case, label
and slice), cases.csv (one row per case and label), summary.json, and report.html to look at, which
holds the scans that --images or sidecars name. The volume Dice of a case is 2·tp / (2·tp + fp + fn)
from the voxel counts of all its slices. A missing prediction scores 0 and its distances are
infinite. With --against also comparison.csv and comparison_slices.csv.
Exit code: 0 every case scored, 1 some predictions missing or cases failed, 2 nothing to compare."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command to the program's parser."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score predictions against references, slice by slice",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_cohort(parser)
    add_metrics(parser)
    add_report(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print, and return the exit code."""
    from unet_med.evaluation import compare_cohorts, evaluate_cohort

    if args.images is not None:
        from unet_med.reporting import scans_in

        scans_in(args.images)  # a wrong path is told now, not after an hour of scoring
    with case_bar("evaluate") as bar:
        options = scoring_of(args) | {"output": args.output, "progress": bar or say_case}
        if args.against is None:
            comparison = None
            scores = evaluate_cohort(args.predictions, args.references, **options)
        else:
            comparison = compare_cohorts(
                args.predictions, args.against, references=args.references, **options
            )
            scores = comparison.here
        # A log has a line per case already; a bar begins anew.
        written = _write_report(args, scores, bar)
    if args.json:
        content = json.loads((args.output / "summary.json").read_text(encoding="utf-8"))
        print(json.dumps(content, indent=2))  # in ASCII: not every terminal or log is UTF-8
    else:
        print_scores(scores)
        if comparison is not None:
            print_comparison(comparison)
        more = "" if comparison is None else " comparison.csv comparison_slices.csv against/"
        print(f"written: {args.output}/slices.csv cases.csv summary.json{more}")
        for path in written:
            print(f"written: {path}")
    return scores.exit_code if comparison is None else comparison.exit_code


def _write_report(
    args: argparse.Namespace, scores: CohortScores, progress: Progress | None
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
