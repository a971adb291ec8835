"""Pictures of single slices for a paper or an e-mail: the worst and the median one per label."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from unet_med.errors import UnetMedError
from unet_med.reporting.overlay import write_overlay
from unet_med.reporting.scene import CaseFiles, load_scene

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from unet_med.evaluation import CohortScores
    from unet_med.reporting.sources import CaseSources

logger = logging.getLogger(__name__)

PNG_FOLDER = "report_png"


def write_overlays(
    cohort: CohortScores, sources: Mapping[str, CaseSources], output: Path
) -> list[Path]:
    """Draw, for each label, the slice of the cohort with the lowest and with the median Dice.

    Args:
        cohort: The scores.
        sources: The files of each case.
        output: Folder; the pictures go into `PNG_FOLDER` there.

    Returns:
        The pictures. A slice whose case cannot be read is left out with a warning.

    Raises:
        OutputError: A file cannot be written.
    """
    rows = [
        row
        for row in cohort.slices
        if row["dice"] is not None and isinstance(row["label"], int) and row["case"] in sources
    ]
    written = []
    for label in dict.fromkeys(row["label"] for row in rows):
        of_label = [row for row in rows if row["label"] == label]
        of_label.sort(key=lambda row: (row["dice"], -row["fp"] - row["fn"]))
        for word, row in (("worst", of_label[0]), ("median", of_label[len(of_label) // 2])):
            name = re.sub(r"[^A-Za-z0-9.-]+", "_", f"{label}_{row['label_name']}").strip("_")
            path = output / PNG_FOLDER / f"{name}_{word}.png"
            if _draw(row, rows, word=word, source=sources[row["case"]], path=path):
                written.append(path)
    return written


def _draw(
    row: dict[str, Any],
    rows: list[dict[str, Any]],
    *,
    word: str,
    source: CaseSources,
    path: Path,
) -> bool:
    """Draw the slice of a row with all its labels."""
    same = [one for one in rows if (one["case"], one["slice"]) == (row["case"], row["slice"])]
    files = CaseFiles(source.scan, source.prediction, source.reference, source.channel)
    try:
        scene = load_scene(files, row["slice"], slice_axis=source.slice_axis)
    except UnetMedError as exc:
        logger.warning("%s cannot be drawn: %s", row["case"], exc)
        return False
    title = (
        f"{row['case']}: {row['label_name'] or row['label']}, {word} {source.slice_axis} slice, "
        f"{row['slice']} at {row['position_mm']:.0f} mm, Dice {row['dice']:.3f} "
        "(filled: prediction, outlined: reference)"
    )
    write_overlay(
        scene,
        path,
        label_names={one["label"]: one["label_name"] for one in same},
        dice={one["label"]: one["dice"] for one in same},
        title=title,
    )
    return True
