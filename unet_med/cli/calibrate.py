"""``unet-med calibrate``: whether probabilities are right, and the temperature they need."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unet_med.api.bundles import calibrate
from unet_med.cli.format import pluralize
from unet_med.cli.parser import Command
from unet_med.cli.progress import print_case

if TYPE_CHECKING:
    import argparse

    from unet_med.segmenter import Calibration

COMMAND = Command(calibrate, groups={"execution": ("bundle", "backend", "threads")})


def run(args: argparse.Namespace, options: dict[str, Any]) -> int:
    """Fit, print, and write what was asked for."""

    def print_next(done: int, total: int, name: str) -> None:
        print_case(done + 1, total, name)

    calibration = calibrate(**options, progress=print_next)
    content = calibration.as_dict()
    print(json.dumps(content, indent=2) if args.json else _calibration_table(calibration, content))
    return 0


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
