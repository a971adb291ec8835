"""Score two sets of predictions and compare them: all the files of both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med.evaluation.cohort import evaluate_cohort
from unet_med.evaluation.comparison import Comparison
from unet_med.evaluation.tables import SUMMARY_FILE, make_folder, write_summary

if TYPE_CHECKING:
    from os import PathLike

AGAINST_FOLDER = "against"


def compare_cohorts(
    predictions: str | PathLike[str],
    against: str | PathLike[str],
    *,
    references: str | PathLike[str],
    output: str | PathLike[str] | None = None,
    **options: Any,  # noqa: ANN401 - those of evaluate_cohort
) -> Comparison:
    """Score two sets of predictions against the same references, case by case.

    Args:
        predictions: Folder of masks, or one mask.
        against: The predictions to compare with.
        references: Folder of masks, or one mask.
        output: Folder for the tables of ``predictions``, comparison.csv and
            comparison_slices.csv, with the tables of the other in its sub-folder ``against``.
        options: See `evaluate_cohort`.

    Raises:
        InputError: A path does not exist, holds no mask, or nothing fits together.
        OutputError: A table cannot be written.
    """
    folder = None if output is None else Path(output)
    if folder is not None:
        make_folder(folder)
    here, other = (evaluate_cohort(one, references, **options) for one in (predictions, against))
    comparison = Comparison.of(here, other)
    if folder is not None:
        here.write(folder)
        make_folder(folder / AGAINST_FOLDER)
        other.write(folder / AGAINST_FOLDER)
        comparison.write(folder)
        content = {**here.summary, "comparison": comparison.summary}
        write_summary(folder / SUMMARY_FILE, content)
    return comparison
