"""Write reports: find the files of each case, make the images, write the pages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unet_med._html import html_table
from unet_med.cases import find_masks
from unet_med.errors import UnetMedError
from unet_med.evaluation.pairing import FIRST_CHANNEL_SUFFIX, pair_cases
from unet_med.reporting.case_sources import NO_SCAN, CaseSources, add_case_images
from unet_med.reporting.evaluation_report import evaluation_report
from unet_med.reporting.html_report import write_report
from unet_med.reporting.report_data import case_image_store
from unet_med.reporting.segmentation_report import SegmentedCase, segmentation_report
from unet_med.reporting.slice_images import write_review_overlays

if TYPE_CHECKING:
    from unet_med._progress import CaseProgress
    from unet_med.evaluation import CohortScores
    from unet_med.reporting.report_data import Report


@dataclass(frozen=True, slots=True)
class ScanFile:
    """Name the scan of a case and the channel to show, or the reason why there is none.

    Example:
        >>> ScanFile(Path("i/a.nii.gz"), channel=1, note="").channel
        1
    """

    path: Path | None = None
    channel: int | None = None
    note: str = NO_SCAN


FindScan = Callable[[str, Path | None], ScanFile]
"""Gives the scan of a case from its id and its prediction's file."""


def no_scan(_case: str, _prediction: Path | None) -> ScanFile:
    """Say that no scan is known."""
    return ScanFile()


def scans_in(images: Path) -> FindScan:
    """Find scans by the name of their case, or of its first channel, in a folder.

    Raises:
        InputError: The folder does not exist or holds no volume.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "a_0000.nii.gz").touch()
        ...     find = scans_in(Path(folder))
        >>> find("a", None).path.name
        'a_0000.nii.gz'
    """
    found = find_masks(images)
    only = next(iter(found.values())) if images.is_file() else []

    def find(case: str, _prediction: Path | None) -> ScanFile:
        paths = only or found.get(case) or found.get(case + FIRST_CHANNEL_SUFFIX) or []
        if len(paths) == 1:
            return ScanFile(paths[0], note="")
        count = "no scan" if not paths else f"{len(paths)} scans"
        return ScanFile(note=f"{images} holds {count} of this name.")

    return find


def evaluation_sources(
    cohort: CohortScores,
    predictions: Path,
    references: Path,
    *,
    find_scan: FindScan = no_scan,
) -> dict[str, CaseSources]:
    """Return the files of each scored case.

    Args:
        cohort: The scores.
        predictions: Folder or file, as it was scored.
        references: The same.
        find_scan: Finds scans.

    Example:
        >>> import nibabel as nib
        >>> import numpy as np
        >>> import tempfile
        >>> from unet_med.evaluation import evaluate_cohort
        >>> mask = nib.Nifti1Image(np.eye(6, dtype=np.uint8)[..., None], np.eye(4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     nib.save(mask, f"{folder}/a.nii")
        ...     cohort = evaluate_cohort(folder, folder)
        ...     sources = evaluation_sources(cohort, Path(folder), Path(folder))
        >>> sources["a"].reference.name
        'a.nii'
    """
    axes = {case.case: case.slice_axis for case in cohort.scored}
    sources = {}
    for pair in pair_cases(predictions, references).pairs:
        if pair.case in axes:
            scan = find_scan(pair.case, pair.prediction)
            sources[pair.case] = CaseSources(
                case=pair.case,
                slice_axis=axes[pair.case],
                prediction=pair.prediction,
                reference=pair.reference,
                scan=scan.path,
                channel=scan.channel,
                note=scan.note,
            )
    return sources


@dataclass(frozen=True, slots=True, repr=False)
class WrittenReport:
    """List the files of a report, and the cases it could not show.

    Attributes:
        files: The page, then pictures.
        failed: Reasons why cases could not be shown, by case.

    Example:
        >>> WrittenReport((Path("out/report.html"),), failed={})
        WrittenReport(1 file, 0 cases not shown; first: out/report.html)
    """

    files: tuple[Path, ...]
    failed: Mapping[str, str]

    def __repr__(self) -> str:
        n_files, n_failed = len(self.files), len(self.failed)
        files, cases = "file" + "s" * (n_files != 1), "case" + "s" * (n_failed != 1)
        counts = f"{n_files} {files}, {n_failed} {cases} not shown"
        first = f"; first: {self.files[0].as_posix()}" if self.files else ""
        return f"WrittenReport({counts}{first})"

    def _repr_html_(self) -> str:
        rows = [*((path, "") for path in self.files), *self.failed.items()]
        return html_table(repr(self), ("file or case", "reason not shown"), rows)


def write_evaluation_report(
    cohort: CohortScores,
    sources: Mapping[str, CaseSources],
    output: Path,
    *,
    progress: CaseProgress | None = None,
) -> WrittenReport:
    """Write report.html, and report_cases/ when it is large, beside the tables of a cohort.

    Args:
        cohort: The scores.
        sources: The files of each case; a case without is listed only.
        output: The folder.
        progress: Called after each case with its number, their number and its id.

    Raises:
        OutputError: A file cannot be written.

    Example:
        >>> import numpy as np
        >>> import tempfile
        >>> from unet_med.evaluation import EvaluationSettings, assemble_cohort, score_volumes
        >>> from unet_med.volumes import from_array
        >>> mask = from_array(np.eye(6, dtype=np.uint8)[..., None], np.eye(4))
        >>> scores = score_volumes(mask, mask, case="a")
        >>> cohort = assemble_cohort([scores], settings=EvaluationSettings())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = write_evaluation_report(cohort, {}, Path(folder))
        >>> [path.name for path in written.files]
        ['report.html']
    """
    shown = [sources[case.case] for case in cohort.scored if case.case in sources]
    return write_with_images(
        lambda not_shown: evaluation_report(cohort, not_shown=not_shown),
        shown,
        output=output,
        progress=progress,
    )


def write_with_images(
    report_of: Callable[[Mapping[str, str]], Report],
    sources: Collection[CaseSources],
    *,
    output: Path,
    progress: CaseProgress | None = None,
) -> WrittenReport:
    """Make the pictures of cases and write a report.

    Args:
        report_of: Gives the report, from why cases cannot be shown.
        sources: The files of the cases.
        output: The folder.
        progress: Called after each case.

    Raises:
        OutputError: A file cannot be written.
    """
    with case_image_store(output) as store:
        not_shown = add_case_images(sources, store, progress=progress)
        return WrittenReport((write_report(report_of(not_shown), store, output),), not_shown)


def write_segmentation_report(
    cases: Sequence[SegmentedCase],
    failed: Mapping[str, str],
    output: Path,
    *,
    find_scan: FindScan = no_scan,
    kinds: Sequence[str] = ("html",),
) -> WrittenReport:
    """Write report.html about masks without references, and pictures if asked for.

    Args:
        cases: The masks.
        failed: Why others were not made, by case.
        output: The folder.
        find_scan: Finds scans.
        kinds: ``html`` for the page, ``png`` for the slice of each case and label with the lowest
            score.

    Raises:
        OutputError: A file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = write_segmentation_report([], {"a": "no scan"}, Path(folder))
        >>> [path.name for path in written.files]
        ['report.html']
    """
    sources, unread = {}, {}
    for case in cases:
        try:
            axis = case.slice_axis()
        except UnetMedError as exc:
            unread[case.case] = str(exc)
            continue
        scan = find_scan(case.case, case.mask)
        sources[case.case] = CaseSources(
            case.case, axis, case.mask, scan=scan.path, channel=scan.channel, note=scan.note
        )
    written = WrittenReport((), unread)
    if "html" in kinds:
        written = write_with_images(
            lambda not_shown: segmentation_report(cases, failed, not_shown={**unread, **not_shown}),
            sources.values(),
            output=output,
        )
    shown = [case for case in cases if case.case in sources]
    drawn = write_review_overlays(shown, sources, output) if "png" in kinds else []
    return WrittenReport((*written.files, *drawn), {**unread, **written.failed})
