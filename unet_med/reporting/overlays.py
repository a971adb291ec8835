"""Pictures of single slices for a paper or an e-mail: the worst and the median one per label."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unet_med.errors import UnetMedError
from unet_med.reporting.overlay import write_overlay
from unet_med.reporting.scene import CaseFiles, load_scene

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from unet_med.evaluation import CohortScores
    from unet_med.reporting.segmented import SegmentedCase
    from unet_med.reporting.sources import CaseSources

logger = logging.getLogger(__name__)

PNG_FOLDER = "report_png"


@dataclass(frozen=True, slots=True)
class Pick:
    """A slice to draw.

    Attributes:
        file_name: Name of the picture, without its ending; any text.
        slice: Index along the slice axis.
        title: One line above the picture.
        label_names: Names of the labels in the legend.
        scores: Score per label, if there are any.
        score_name: What the score is called.
    """

    file_name: str
    slice: int
    title: str
    label_names: Mapping[int, str]
    scores: Mapping[int, float] | None = None
    score_name: str = "Dice"


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
    drawn = []
    for label in dict.fromkeys(row["label"] for row in rows):
        of_label = [row for row in rows if row["label"] == label]
        of_label.sort(key=lambda row: (row["dice"], -row["fp"] - row["fn"]))
        for word, row in (("worst", of_label[0]), ("median", of_label[len(of_label) // 2])):
            source = sources[row["case"]]
            drawn.append(draw(source, _pick(row, rows, word=word, source=source), output))
    return [path for path in drawn if path is not None]


def _pick(
    row: dict[str, Any], rows: list[dict[str, Any]], *, word: str, source: CaseSources
) -> Pick:
    """Describe the picture of a row's slice, with all its labels."""
    same = [one for one in rows if (one["case"], one["slice"]) == (row["case"], row["slice"])]
    return Pick(
        file_name=f"{row['label']}_{row['label_name']}_{word}",
        slice=row["slice"],
        title=(
            f"{row['case']}: {row['label_name'] or row['label']}, {word} {source.slice_axis} "
            f"slice, {row['slice']} at {row['position_mm']:.0f} mm, Dice {row['dice']:.3f} "
            "(filled: prediction, outlined: reference)"
        ),
        label_names={one["label"]: one["label_name"] for one in same},
        scores={one["label"]: one["dice"] for one in same},
    )


def write_doubtful(
    cases: Sequence[SegmentedCase], sources: Mapping[str, CaseSources], output: Path
) -> list[Path]:
    """Draw, for each label, the slice of all cases with the lowest quality score.

    Args:
        cases: Masks with their sidecars; those without scores per slice are left out.
        sources: The files of each case.
        output: Folder; the pictures go into `PNG_FOLDER` there.

    Raises:
        OutputError: A file cannot be written.
    """
    lowest: dict[int, tuple[float, int, SegmentedCase]] = {}
    for case in cases:
        for label, columns in case.slice_scores.items():
            for index, score in enumerate(columns):
                if score is not None and score < lowest.get(label, (2.0,))[0]:
                    lowest[label] = (score, index, case)
    drawn = []
    for label, (score, index, case) in sorted(lowest.items(), key=lambda item: item[0]):
        source = sources[case.case]
        name = case.label_names.get(label, "")
        here = {value: column[index] for value, column in case.slice_scores.items()}
        pick = Pick(
            file_name=f"{label}_{name}_doubtful",
            slice=index,
            title=f"{case.case}: {name or label}, {source.slice_axis} slice {index} with the "
            f"lowest quality score, {score:.3f} (an estimate, there is no reference)",
            label_names=case.label_names,
            scores={value: one for value, one in here.items() if one is not None},
            score_name="score",
        )
        drawn.append(draw(source, pick, output))
    return [path for path in drawn if path is not None]


def draw(source: CaseSources, pick: Pick, output: Path) -> Path | None:
    """Draw one slice of a case into `PNG_FOLDER`; None, with a warning, if it cannot be read.

    Raises:
        OutputError: The file cannot be written.
    """
    files = CaseFiles(source.scan, source.prediction, source.reference, source.channel)
    try:
        scene = load_scene(files, pick.slice, slice_axis=source.slice_axis)
    except UnetMedError as exc:
        logger.warning("%s cannot be drawn: %s", source.case, exc)
        return None
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", pick.file_name).strip("_").replace("__", "_")
    path = output / PNG_FOLDER / f"{name}.png"
    write_overlay(
        scene,
        path,
        label_names=pick.label_names,
        dice=pick.scores,
        title=pick.title,
        score_name=pick.score_name,
    )
    return path
