"""``unet-med calibrate``: whether probabilities are right, and the temperature they need."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med.cli.format import pluralize

if TYPE_CHECKING:
    import argparse

    from unet_med.segmenter import Calibration

_DESCRIPTION = """\
Compare the probabilities of a bundle with labeled scans that it was NOT trained on, and fit the
temperature that divides its logits. Labels do not depend on it; expected Dice, entropy and saved
probabilities do. Without --write nothing is changed."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "calibrate",
        help="fit the temperature of a bundle's probabilities",
        description=_DESCRIPTION,
    )
    parser.add_argument("--images", required=True, type=Path, metavar="DIR", help="scans")
    parser.add_argument(
        "--labels", required=True, type=Path, metavar="DIR", help="references of the same names"
    )
    parser.add_argument("--write", action="store_true", help="put it into the bundle's recipe")
    parser.add_argument("--figure", type=Path, metavar="PNG", help="draw the reliability")
    parser.add_argument("--json", action="store_true", help="print JSON, nothing else")
    group = parser.add_argument_group("execution")
    group.add_argument("-b", "--bundle", type=Path, metavar="DIR", help="default: the one shipped")
    group.add_argument("--backend", default="auto")
    group.add_argument("--threads", type=int, metavar="N", help="CPU threads; default: all")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit, print, and write what was asked for."""
    from unet_med.batch.datalist import labeled_datalist
    from unet_med.reporting.charts import write_reliability
    from unet_med.segmenter import calibrate, load_segmenter

    segmenter = load_segmenter(args.bundle, backend=args.backend, threads=args.threads)
    found = labeled_datalist(args.images, args.labels, recipe=segmenter.recipe)
    cases = [([Path(path) for path in item["image"]], Path(item["label"])) for item in found]
    calibration = calibrate(segmenter, cases, progress=_print_progress)
    if args.figure is not None:
        write_reliability(calibration, args.figure)
    if args.write:
        recipe = replace(segmenter.recipe, temperature=calibration.temperature)
        recipe.save(segmenter.bundle.root / "configs" / "recipe.json")
    content = calibration.as_dict()
    print(json.dumps(content, indent=2) if args.json else _calibration_table(calibration, content))
    return 0


def _print_progress(done: int, total: int, name: str) -> None:
    print(f"[{done + 1}/{total}] {name}", file=sys.stderr)


def _calibration_table(calibration: Calibration, content: dict[str, Any]) -> str:
    """Return a reliability table per label, then the temperature."""
    lines = []
    for label in content["labels"]:
        lines.append(f"{label['label_name']}: how often it is there, by probability")
        lines.append(f"{'probability':>14} {'voxels':>9} {'before':>8} {'after':>8}")
        both = zip(label["bins"]["before"], label["bins"]["after"], strict=True)
        for number, (before, after) in enumerate(both):
            bounds = f"{number / 10:.1f} – {(number + 1) / 10:.1f}"
            cells = f"{_format_fraction(before):>8} {_format_fraction(after):>8}"
            lines.append(f"{bounds:>14} {before['voxels']:>9} {cells}")
        lines.append(_format_change("  calibration error", label["calibration_error"]))
    lines.append(
        _format_change("calibration error, mean over labels", content["calibration_error"])
    )
    lines.append(_format_change("negative log likelihood", content["negative_log_likelihood"]))
    lines.append(
        f"temperature {calibration.temperature_before:g} -> {calibration.temperature:g}, from "
        f"{calibration.n_voxels} voxels of {calibration.n_slices} slices of "
        f"{pluralize(calibration.n_cases, 'case')}"
    )
    return "\n".join(lines)


def _format_fraction(cell: dict[str, Any]) -> str:
    return "" if cell["found"] is None else f"{cell['found']:.3f}"


def _format_change(what: str, values: dict[str, float | None]) -> str:
    shown = ("–" if value is None else f"{value:.4f}" for value in values.values())
    return f"{what}: " + " -> ".join(shown)
