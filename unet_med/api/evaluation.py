"""Score masks against references, and write reports about scores or segmented folders."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med._progress import CaseProgress
from unet_med.api.types import (
    Empty,
    File,
    Jobs,
    LabelNames,
    Labels,
    MetricSet,
    Regions,
    SliceAxis,
    StrPath,
    Tolerances,
    check_choice,
    optional_path,
)

if TYPE_CHECKING:
    from unet_med.evaluation import CohortScores, Comparison, MetricSettings
    from unet_med.evaluation.tables import TableRow
    from unet_med.reporting import WrittenReport


@dataclass(frozen=True)
class Evaluation:
    """Hold the scores of a set of predictions.

    Attributes:
        scores: All scores of the predictions.
        comparison: The difference to the baseline, if there is one.
        files: Pages and pictures that were written, besides the tables.
    """

    scores: "CohortScores"
    comparison: "Comparison | None" = None
    files: tuple[Path, ...] = ()

    @property
    def slices(self) -> "list[TableRow]":
        """Return the rows of slices.csv: one per case, label and slice."""
        return self.scores.slices

    @property
    def cases(self) -> "list[TableRow]":
        """Return the rows of cases.csv: one per case and label."""
        return self.scores.cases

    @property
    def summary(self) -> dict[str, Any]:
        """Return the content of summary.json."""
        more = {} if self.comparison is None else {"comparison": self.comparison.summary}
        return {**self.scores.summary, **more}

    @property
    def exit_code(self) -> int:
        """Return 0 if every case was scored in all sets of predictions, else 1."""
        return (self.comparison or self.scores).exit_code

    def as_dict(self) -> dict[str, Any]:
        """Return the summary ready for JSON; NaN becomes null."""
        from unet_med.evaluation.tables import without_nan

        content: dict[str, Any] = without_nan(self.summary)
        return content


def evaluate(
    predictions: File,
    references: File,
    *,
    output: File | None = None,
    slice_axis: SliceAxis = "thickest",
    empty: Empty = "skip",
    labels: Labels | None = None,
    label_names: LabelNames | None = None,
    bundle: File | None = None,
    metrics: MetricSet = "all",
    tolerance_mm: Tolerances = 1.0,
    region: Regions = (),
    baseline: File | None = None,
    jobs: Jobs = 1,
    images: File | None = None,
    report: bool = True,
    png: bool = False,
    progress: CaseProgress | None = None,
    report_progress: CaseProgress | None = None,
    command_line: str | None = None,
) -> Evaluation:
    """Score predictions against references, slice by slice.

    Compare masks with reference masks of the same name. With an output folder, write slices.csv
    (one row per case, label and slice), cases.csv (one row per case and label), summary.json, and
    report.html to look at. The volume Dice of a case is 2·tp / (2·tp + fp + fn) from the voxel
    counts of all its slices. A missing prediction scores 0 and its distances are infinite. A
    baseline adds comparison.csv and comparison_slices.csv.

    Args:
        predictions: Masks to score: a folder or file.
        references: True masks: a folder or file.
        output: Folder for the tables and the report. Default: nothing is written.
        slice_axis: Axis that slices are counted along.
        empty: Count a slice without the label in either mask as nothing, 1 or 0 in means over
            slices; volume Dice does not depend on it.
        labels: Values to score. Default: all found.
        label_names: Names for the tables.
        bundle: Take label names from this bundle's recipe.
        metrics: counts: what follows from voxel counts, in the memory of a few planes; all: surface
            distances and components too, which need the box around all labels.
        tolerance_mm: Tolerance of the surface Dice in mm, for all labels or single ones; in
            Python a mapping from label value or region to mm, None for all others.
        region: Score this union of labels too; may be given several times.
        baseline: Predictions to compare with, case by case.
        jobs: Processes.
        images: Scans of the same names, for the report. Default: those that sidecars name.
        report: Write report.html beside the tables.
        png: Draw the worst and the median slice of each label into OUTPUT/report_png.
        progress: Called after each case that was scored.
        report_progress: Called after each case that was drawn.
        command_line: Text for the summary.

    Returns:
        All scores: ``slices``, ``cases``, ``summary``, ``comparison``.

    Raises:
        InputError: A path does not exist, holds no mask, or nothing fits together.
        OutputError: A table cannot be written.

    Example:
        >>> from unet_med.bundle import demo_data
        >>> truth = demo_data() / "labels"
        >>> scores = evaluate(truth, truth, metrics="counts")
        >>> {row["volume_dice"] for row in scores.cases}
        {1.0}
    """
    from unet_med.batch.output_folder import scan_finder
    from unet_med.evaluation import compare_cohorts, evaluate_cohort
    from unet_med.metrics import EmptyPolicy

    check_choice(metrics, MetricSet, "metrics")
    check_choice(empty, Empty, "empty")
    if images is not None:
        scan_finder(images)  # a wrong path is told now, not after an hour of scoring
    options: dict[str, Any] = {
        "slice_axis": slice_axis,
        "empty": EmptyPolicy(empty),
        "labels": labels,
        "label_names": _label_names(label_names, bundle),
        "metrics": _metric_settings(metrics, tolerance_mm, region),
        "jobs": jobs,
        "command": command_line,
        "progress": progress,
        "output": output,
    }
    comparison = None
    if baseline is None:
        scores = evaluate_cohort(Path(predictions), Path(references), **options)
    else:
        comparison = compare_cohorts(predictions, baseline, references=references, **options)
        scores = comparison.candidate
    if output is None:
        return Evaluation(scores, comparison)
    from unet_med.reporting import evaluation_sources, write_evaluation_report, write_overlays

    files: list[Path] = []
    if report or png:
        find = scan_finder(images)
        sources = evaluation_sources(scores, Path(predictions), Path(references), find_scan=find)
        if report:
            page = write_evaluation_report(scores, sources, Path(output), progress=report_progress)
            files += page.files
        if png:
            files += write_overlays(scores, sources, Path(output))
    return Evaluation(scores, comparison, tuple(files))


def _label_names(names: LabelNames | None, bundle: StrPath | None) -> dict[int, str]:
    """Return names of labels: those given win over a bundle's."""
    known: dict[int, str] = {}
    if bundle is not None:
        from unet_med.bundle import open_bundle

        known.update(open_bundle(Path(bundle)).recipe.labels)
    return known | dict(names or {})


def _metric_settings(
    metrics: MetricSet, tolerance_mm: Tolerances, region: Regions
) -> "MetricSettings":
    from collections.abc import Mapping

    from unet_med.evaluation import DEFAULT_TOLERANCE_MM, LabelRegion, MetricSettings

    table = tolerance_mm if isinstance(tolerance_mm, Mapping) else {None: tolerance_mm}
    regions = region.items() if isinstance(region, Mapping) else region
    return MetricSettings(
        surface_metrics=metrics == "all",
        tolerance_mm=table.get(None, DEFAULT_TOLERANCE_MM),
        label_tolerances_mm={label: mm for label, mm in table.items() if label is not None},
        regions=tuple(LabelRegion(name, tuple(values)) for name, values in regions),
    )


def report(
    folder: File,
    *,
    output: File | None = None,
    images: File | None = None,
    png: bool = False,
) -> "WrittenReport":
    """Write a page to look at what was segmented.

    Write report.html about an output folder of `segment`: each scan with its mask in three planes,
    quality estimated per slice, and the slices to look at first. One file that needs no network;
    above 12 MB of pictures, a folder report_cases/ with a page a case. Where there are references,
    `evaluate` writes the same with scores.

    Args:
        folder: Output of `segment`: masks, sidecars and ledger.
        output: Folder to write to. Default: the same folder.
        images: Scans of the same names. Default: those that the sidecars name.
        png: Draw the slice with the lowest quality score of each label into OUTPUT/report_png.

    Returns:
        ``files``, and why cases could not be shown in ``failed``.

    Raises:
        InputError: There is no such folder, or it holds no masks of this program.
        OutputError: A file cannot be written.

    Example:
        >>> report("no such folder")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        unet_med.errors.InputError: no such folder is no folder; give an output folder of ...
    """
    from unet_med.batch.output_folder import report_output_folder, scan_finder

    return report_output_folder(
        Path(folder),
        optional_path(output) or Path(folder),
        find_scan=scan_finder(images),
        kinds=("html", "png") if png else ("html",),
    )
