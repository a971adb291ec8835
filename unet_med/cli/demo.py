"""``unet-med demo``: the whole way on the scan that comes with the program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med.cli.options import add_execution_options, execution_options_from

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from unet_med.batch import BatchReport, Outcome
    from unet_med.evaluation import CohortScores

_DESCRIPTION = """\
Segment the demo scan that comes with the program, compare the mask with its reference and draw the
worst and the median slice. Writes DIR/masks, two pictures, and DIR/scores with report.html, a page
to look at every slice."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "demo", help="segment, score and draw the demo scan", description=_DESCRIPTION
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("unet-med-demo"),
        metavar="DIR",
        help="default: %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, nothing else")
    add_execution_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Segment, evaluate, draw, print."""
    from unet_med import api
    from unet_med.bundle import demo_data
    from unet_med.cli.progress import batch_progress
    from unet_med.reporting import REPORT_FILE
    from unet_med.segmenter import open_bundles

    data = demo_data()
    recipe = open_bundles(args.bundle)[0].recipe
    with batch_progress() as listener:
        report = api.segment(
            data / "images",
            args.output / "masks",
            bundle=args.bundle,
            listener=listener,
            overwrite=True,
            command_line=args.command_line,
            **execution_options_from(args),
        )
    if report.exit_code != 0:
        print(json.dumps(report.as_dict(), indent=2) if args.json else report.summary())
        return report.exit_code
    scores = api.evaluate(
        args.output / "masks",
        data / "labels",
        output=args.output / "scores",
        images=data / "images",
        slice_axis=recipe.slice_axis,
        label_names=recipe.labels,
    )
    folders = (data / "labels", args.output)
    pictures = [
        path
        for outcome in report.outcomes
        for path in _draw(outcome, scores, folders=folders, label_names=recipe.labels)
    ]
    _print(report, scores, (pictures, args.output / "scores" / REPORT_FILE), as_json=args.json)
    return scores.exit_code


def _draw(
    outcome: Outcome,
    scores: CohortScores,
    *,
    folders: tuple[Path, Path],
    label_names: Mapping[int, str],
) -> list[Path]:
    """Draw the worst and the median slice of one case."""
    from unet_med.cases import find_masks
    from unet_med.reporting import CaseFiles, load_slice_view, rank_slices, write_overlay

    references, output = folders
    key = outcome.case.key
    found = find_masks(references).get(key, [])
    ranked = rank_slices(row for row in scores.slices if row["case"] == key)
    if not found or not ranked:
        return []
    axis = next(case.slice_axis for case in scores.scored if case.case == key)
    files = CaseFiles(outcome.case.paths[0], outcome.mask, found[0])
    pictures = []
    for rank, chosen in (("worst", ranked[0]), ("median", ranked[len(ranked) // 2])):
        path = output / f"{outcome.case.id}_{rank}.png"
        title = (
            f"{key}: {rank} of {len(ranked)} {axis} slices, {chosen.index} at "
            f"{chosen.position_mm:.0f} mm, mean Dice {chosen.mean_dice:.3f} "
            "(filled: prediction, outlined: reference)"
        )
        view = load_slice_view(files, chosen.index, slice_axis=axis)
        write_overlay(view, path, label_names=label_names, dice=chosen.dice, title=title)
        pictures.append(path)
    return pictures


def _print(
    report: BatchReport, scores: CohortScores, drawn: tuple[list[Path], Path], *, as_json: bool
) -> None:
    """Print what came out; ``drawn`` are the pictures and the page."""
    from unet_med.cli.format import print_scores
    from unet_med.evaluation.tables import without_nan

    pictures, page = drawn
    if as_json:
        content: dict[str, Any] = {
            "segmentation": report.as_dict(),
            "scores": scores.summary,
            "pictures": [str(path) for path in pictures],
            "report": str(page),
        }
        print(json.dumps(without_nan(content), indent=2))
        return
    print_scores(scores)
    for outcome in report.outcomes:
        if outcome.seconds:
            stages = ", ".join(f"{stage} {value:.2f}" for stage, value in outcome.seconds.items())
            print(f"Seconds for {outcome.case.key}, stages overlap: {stages}")
        print(f"Mask: {outcome.mask}")
    for picture in pictures:
        print(f"Picture: {picture}")
    print(f"Report, for a browser: {page}")
