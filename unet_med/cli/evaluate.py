"""``unet-med evaluate``: score predictions against references, slice by slice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unet_med.api.evaluation import evaluate
from unet_med.cli.format import print_comparison, print_scores
from unet_med.cli.parser import Command
from unet_med.cli.progress import case_progress_bar, print_case

if TYPE_CHECKING:
    import argparse

COMMAND = Command(
    evaluate,
    hidden=frozenset({"progress", "report_progress", "command_line"}),
    groups={
        "metrics": ("metrics", "tolerance_mm", "region", "baseline", "jobs"),
        "report": ("images", "report", "png"),
    },
)


def run(args: argparse.Namespace, options: dict[str, Any]) -> int:
    """Evaluate, print, and return the exit code."""
    with case_progress_bar("evaluate") as bar:
        result = evaluate(
            **options,
            progress=bar or print_case,
            report_progress=bar,  # a log has a line per case already
            command_line=args.command_line,
        )
    if args.json:
        print(json.dumps(result.as_dict(), indent=2))  # ASCII: not every log is UTF-8
        return result.exit_code
    print_scores(result.scores)
    tables = "slices.csv cases.csv summary.json"
    if result.comparison is not None:
        print_comparison(result.comparison)
        tables += " comparison.csv comparison_slices.csv baseline/"
    if args.output is not None:
        print(f"written: {args.output}/{tables}")
    for path in result.files:
        print(f"written: {path}")
    return result.exit_code
