"""Choose slices of cases, worst or median, and write their overlays as PNG."""

from __future__ import annotations

import logging
import re
import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unet_med.errors import UnetMedError
from unet_med.reporting.overlay import write_overlay
from unet_med.reporting.slice_view import CaseFiles, load_slice_view

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from unet_med.evaluation import CohortScores
    from unet_med.reporting.case_sources import CaseSources
    from unet_med.reporting.segmentation_report import SegmentedCase


@dataclass(frozen=True, slots=True)
class RankedSlice:
    """Hold the scores of one slice.

    Attributes:
        index: Position along the slice axis in the reference file's own order.
        position_mm: World coordinate along the slice axis.
        dice: Dice per label value; only labels that prediction or reference holds.
        n_wrong: False positives and false negatives over all labels.

    Example:
        >>> RankedSlice(index=12, position_mm=36.0, dice={1: 0.5, 2: 1.0}, n_wrong=9).mean_dice
        0.75
    """

    index: int
    position_mm: float
    dice: Mapping[int, float]
    n_wrong: int

    @property
    def mean_dice(self) -> float:
        """Return the mean over the labels present."""
        return statistics.fmean(self.dice.values())


def rank_slices(rows: Iterable[Mapping[str, Any]]) -> list[RankedSlice]:
    """Sort the slices of one case from worst to best mean Dice over the labels present.

    Slices without any label are left out, and so are regions, which join labels. Of equal slices
    the one with more wrong voxels comes first. The worst is the first of the list, the median the
    one in its middle.

    Args:
        rows: Rows of slices.csv of one case.

    Example:
        >>> row = {"label": 1, "position_mm": 0.0, "fp": 1, "fn": 1}
        >>> rows = [row | {"slice": 0, "dice": 0.9}, row | {"slice": 1, "dice": 0.4}]
        >>> [ranked.index for ranked in rank_slices(rows)]
        [1, 0]
    """
    by_slice: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["dice"] is not None and isinstance(row["label"], int):  # regions have names
            by_slice[row["slice"]].append(row)
    ranked = [
        RankedSlice(
            index=index,
            position_mm=float(found[0]["position_mm"]),
            dice={row["label"]: float(row["dice"]) for row in found},
            n_wrong=sum(row["fp"] + row["fn"] for row in found),
        )
        for index, found in by_slice.items()
    ]
    return sorted(ranked, key=lambda one: (one.mean_dice, -one.n_wrong, one.index))


logger = logging.getLogger(__name__)


PNG_FOLDER = "report_png"


@dataclass(frozen=True, slots=True)
class SliceImage:
    """Describe a slice to draw.

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

    Example:
        >>> from pathlib import Path
        >>> from unet_med.evaluation import EvaluationSettings, assemble_cohort
        >>> write_overlays(assemble_cohort([], settings=EvaluationSettings()), {}, Path("out"))
        []
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
            drawn.append(
                write_slice_image(source, _slice_image(row, rows, word=word, source=source), output)
            )
    return [path for path in drawn if path is not None]


def _slice_image(
    row: dict[str, Any], rows: list[dict[str, Any]], *, word: str, source: CaseSources
) -> SliceImage:
    """Describe the picture of a row's slice, with all its labels."""
    same = [one for one in rows if (one["case"], one["slice"]) == (row["case"], row["slice"])]
    return SliceImage(
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


def write_review_overlays(
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
        image = SliceImage(
            file_name=f"{label}_{name}_review",
            slice=index,
            title=f"{case.case}: {name or label}, {source.slice_axis} slice {index} with the "
            f"lowest quality score, {score:.3f} (an estimate, there is no reference)",
            label_names=case.label_names,
            scores={value: one for value, one in here.items() if one is not None},
            score_name="score",
        )
        drawn.append(write_slice_image(source, image, output))
    return [path for path in drawn if path is not None]


def write_slice_image(source: CaseSources, image: SliceImage, output: Path) -> Path | None:
    """Draw one slice of a case into `PNG_FOLDER`; None, with a warning, if it cannot be read.

    Raises:
        OutputError: The file cannot be written.
    """
    files = CaseFiles(source.scan, source.prediction, source.reference, source.channel)
    try:
        view = load_slice_view(files, image.slice, slice_axis=source.slice_axis)
    except UnetMedError as exc:
        logger.warning("%s cannot be drawn: %s", source.case, exc)
        return None
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", image.file_name).strip("_").replace("__", "_")
    path = output / PNG_FOLDER / f"{name}.png"
    write_overlay(
        view,
        path,
        label_names=image.label_names,
        dice=image.scores,
        title=image.title,
        score_name=image.score_name,
    )
    return path
