"""``unet-med demo``: the whole way on the scan that comes with the program."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med.api.evaluation import evaluate
from unet_med.api.segmentation import segment
from unet_med.api.types import Backend, Bundles, Device, File, Precision, Tta
from unet_med.cli.parser import Command
from unet_med.cli.progress import batch_progress, print_result
from unet_med.cli.segment import EXECUTION

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from unet_med.batch import BatchReport, Outcome
    from unet_med.evaluation import CohortScores


def demo(
    output: File = "unet-med-demo",
    *,
    bundle: Bundles | None = None,
    tta: Tta = "recipe",
    device: Device = "auto",
    backend: Backend = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
) -> None:
    """Segment, score and draw the demo scan.

    Segment the demo scan that comes with the program, compare the mask with its reference and draw
    the worst and the median slice. Writes OUTPUT/masks, two pictures, and OUTPUT/scores with
    report.html, a page to look at every slice.

    Args:
        output: Folder to write to.
        bundle: Bundle folder; several are an ensemble, whose mean is taken. Default: the one
            shipped.
        tta: Average over mirrored slices, as for segment.
        device: Where torch runs.
        backend: Library that runs the network.
        precision: Arithmetic of the network; auto takes only what was verified.
        threads: CPU threads. Default: all processors of this process.
    """


COMMAND = Command(demo, groups={"execution": EXECUTION[:-1]})


def run(args: "argparse.Namespace", options: dict[str, Any]) -> int:
    """Segment, evaluate, draw, print."""
    from unet_med.bundle import demo_data
    from unet_med.reporting import REPORT_FILE
    from unet_med.segmenter import open_bundles

    data, output = demo_data(), Path(args.output)
    recipe = open_bundles(args.bundle)[0].recipe
    execution = {name: options[name] for name in EXECUTION[:-1]}
    with batch_progress() as listener:
        report = segment(
            data / "images",
            output / "masks",
            listener=listener,
            overwrite=True,
            command_line=args.command_line,
            **execution,
        )
    if report.exit_code != 0:
        print_result(report, as_json=args.json)
        return report.exit_code
    result = evaluate(
        output / "masks",
        data / "labels",
        output=output / "scores",
        images=data / "images",
        slice_axis=recipe.slice_axis,
        label_names=recipe.labels,
    )
    scores, folders = result.scores, (data / "labels", output)
    pictures = [
        path
        for outcome in report.outcomes
        for path in _draw(outcome, scores, folders=folders, label_names=recipe.labels)
    ]
    _print(report, scores, (pictures, output / "scores" / REPORT_FILE), as_json=args.json)
    return scores.exit_code


def _draw(
    outcome: "Outcome",
    scores: "CohortScores",
    *,
    folders: tuple[Path, Path],
    label_names: "Mapping[int, str]",
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
    report: "BatchReport", scores: "CohortScores", drawn: tuple[list[Path], Path], *, as_json: bool
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
