"""What the package offers in Python: thin functions over the rooms below.

Rooms that `segment` does not need are loaded by the functions that do: it starts a command.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from unet_med.backends import available_threads
from unet_med.batch import (
    BatchSettings,
    CaseList,
    Destination,
    Silence,
    dask_crew,
    find_cases,
    preview_batch,
    processes_crew,
    run_batch,
    watch_batch,
)
from unet_med.errors import InputError
from unet_med.segmenter import (
    Segmentation,
    Segmenter,
    SegmenterLoader,
    open_bundles,
    resolve_segmenter,
)
from unet_med.segmenter import load_segmenter as load
from unet_med.volumes import Limits, ReadRules, SeriesRule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unet_med.batch import BatchReport, Crew, Listener
    from unet_med.dataset.check import Progress as ReadingProgress
    from unet_med.evaluation import CohortScores, MetricSettings
    from unet_med.evaluation.cohort import Progress
    from unet_med.folds import FoldsResult
    from unet_med.metrics import EmptyPolicy
    from unet_med.planning import Planned, PlanSettings, Source
    from unet_med.planning.network import Shape
    from unet_med.recipe import Recipe
    from unet_med.reporting import Written
    from unet_med.training import TrainingPlan, TrainingResult

__all__ = [
    "PlanSettings",
    "Planned",
    "Segmentation",
    "Segmenter",
    "Source",
    "evaluate",
    "load",
    "plan",
    "report",
    "report_scores",
    "segment",
    "train",
]

AnyPath = str | PathLike[str]

_PLANNING = ("PlanSettings", "Planned", "Source")


def __getattr__(name: str) -> Any:  # noqa: ANN401 - module attribute of any type
    """Hand out what `plan` takes and gives, on first use."""
    if name in _PLANNING:
        from unet_med import planning

        return getattr(planning, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


class ExecutionOptions(TypedDict, total=False):
    """How the network is run; see `load`."""

    tta: str
    device: str
    backend: str
    precision: str
    threads: int | None
    memory_gb: float | None


class SegmentOptions(ExecutionOptions, total=False):
    """Everything `segment` can be told; see `BatchSettings` for the rest."""

    overwrite: bool
    retry_failed: bool
    limit: int | None
    dry_run: bool
    watch: bool
    settle_s: float | None
    jobs: int
    dask: str | None
    channel: int | None
    frames: bool
    save: Sequence[str]
    max_voxels: int | None
    series: str | None
    keep_identifiers: bool
    format: str
    command_line: str


class EvaluateOptions(TypedDict, total=False):
    """What decides the tables; see `unet_med.evaluation.evaluate_cohort`."""

    slice_axis: str
    empty: EmptyPolicy
    labels: Sequence[int] | None
    label_names: Mapping[int, str] | None
    metrics: MetricSettings | None
    jobs: int
    command: str | None
    progress: Progress | None


class TrainOptions(TypedDict, total=False):
    """How a plan is carried out; see `train`."""

    folds: int | None
    resume: bool
    init: AnyPath | None
    cache: AnyPath | None
    workers: int
    precision: str
    command_line: str
    progress: ReadingProgress | None


def segment(
    inputs: AnyPath | Sequence[AnyPath],
    output: AnyPath,
    *,
    bundle: AnyPath | Sequence[AnyPath] | None = None,
    listener: Listener | None = None,
    **options: Unpack[SegmentOptions],
) -> BatchReport:
    """Segment files, folders and globs; the same as the command ``unet-med segment``.

    For one image in memory: ``unet_med.load().segment(image)``.

    Args:
        inputs: What to segment: files, folders (recursively) or globs.
        output: Output folder, or a file that ends in .nii or .nii.gz for one input.
        bundle: Bundle folder, or several as an ensemble; None = the one that comes with the
            program.
        listener: Follows the run.
        **options: ``tta``, ``device``, ``backend``, ``precision``, ``threads``, ``memory_gb`` as in
            `load`; ``overwrite``, ``retry_failed``, ``limit``, ``dry_run``, ``watch``,
            ``settle_s``, ``jobs``, ``dask``, ``channel``, ``frames``, ``save``, ``max_voxels``,
            ``series``, ``format`` as on the command line. With ``jobs`` > 1 a script needs
            ``if __name__ == "__main__":``, since processes are spawned.

    Returns:
        How every case ended; a failed case is no exception, see ``exit_code``.

    Raises:
        UnetMedError: Nothing could start: no input, no bundle, or no place to write.
    """
    unknown = sorted(set(options) - set(SegmentOptions.__annotations__))
    if unknown:
        msg = f"segment() got unknown options {', '.join(unknown)}"
        raise TypeError(msg)
    settings = BatchSettings(
        overwrite=options.get("overwrite", False),
        retry_failed=options.get("retry_failed", False),
        limit=options.get("limit"),
        channel=options.get("channel"),
        frames=options.get("frames", False),
        save=tuple(options.get("save", ())),
        command_line=options.get("command_line", "unet_med.segment() in Python"),
        listener=listener or Silence(),
    )
    dry_run, watch = options.get("dry_run", False), options.get("watch", False)
    if dry_run and watch:
        msg = "a dry run looks once and a watch goes on: give only one of them"
        raise InputError(msg)
    folders = _folders(bundle)
    recipe = open_bundles(folders)[0].recipe
    names = [channel.name for channel in recipe.channels]
    many = [inputs] if isinstance(inputs, str | PathLike) else inputs
    find = partial(
        find_cases,
        [str(item) for item in many],
        n_channels=len(names),
        output=Path(output),
        channel_names=names,
    )
    cases = CaseList((), "") if watch else find()
    destination = Destination.parse(output, format=options.get("format", "nifti"))
    jobs, dask, threads = options.get("jobs", 1), options.get("dask"), options.get("threads")
    resolved = resolve_segmenter(
        folders,
        tta=options.get("tta", "recipe"),
        device=options.get("device", "auto"),
        backend=options.get("backend", "auto"),
        precision=options.get("precision", "auto"),
        threads=_threads_each(jobs) if threads is None else threads,
        memory_gb=options.get("memory_gb"),
    )
    limits = Limits.for_scans(options.get("max_voxels"))
    rules = ReadRules(limits, _series_rule(options))
    rules = rules.for_modalities(channel.modality for channel in recipe.channels)
    loader = replace(resolved, rules=rules)
    if dry_run:
        return preview_batch(cases, destination, segmenter=loader, settings=settings)
    with _crew(loader, jobs=jobs, dask=dask) as crew:
        if watch:
            return watch_batch(
                find,
                destination,
                segmenter=loader,
                settings=settings,
                crew=crew,
                settle_s=options.get("settle_s"),
            )
        return run_batch(cases, destination, segmenter=loader, settings=settings, crew=crew)


def _series_rule(options: SegmentOptions) -> SeriesRule:
    keep = options.get("keep_identifiers", False)
    return SeriesRule(options.get("series"), keep_identifiers=keep)


def _threads_each(jobs: int) -> int | None:
    """Divide this process's processors among processes."""
    return None if jobs <= 1 else max(1, available_threads() // jobs)


def _crew(
    loader: SegmenterLoader, *, jobs: int, dask: str | None
) -> AbstractContextManager[Crew | None]:
    """Return who makes the cases; None = this process."""
    if jobs < 1:
        msg = f"jobs is a number of processes, 1 or more; got {jobs}"
        raise InputError(msg)
    if dask is not None and jobs > 1:
        msg = "jobs are processes of this machine and dask is a cluster: give only one of them"
        raise InputError(msg)
    if dask is not None:
        return dask_crew(dask, loader)
    return processes_crew(jobs, loader) if jobs > 1 else nullcontext()


def _folders(bundle: AnyPath | Sequence[AnyPath] | None) -> Path | list[Path] | None:
    if bundle is None or isinstance(bundle, str | PathLike):
        return None if bundle is None else Path(bundle)
    return [Path(folder) for folder in bundle]


def evaluate(
    predictions: AnyPath,
    references: AnyPath,
    *,
    output: AnyPath | None = None,
    images: AnyPath | None = None,
    **options: Unpack[EvaluateOptions],
) -> CohortScores:
    """Score predictions against references of the same name; as ``unet-med evaluate``.

    Args:
        predictions: Folder of masks, or one mask.
        references: The same.
        output: Folder for slices.csv, cases.csv, summary.json and report.html; None writes
            nothing.
        images: Folder of the scans for the report; None = those that sidecars name.
        **options: ``slice_axis``, ``empty``, ``labels``, ``label_names``, ``metrics``
            (what is measured besides counts), ``jobs`` (processes), ``command``, ``progress``.

    Returns:
        All scores: ``slices``, ``cases`` and ``summary``.

    Raises:
        InputError: A path does not exist, holds no mask, or nothing fits together.
        OutputError: A table cannot be written.
    """
    from unet_med.batch.scans import scan_finder
    from unet_med.evaluation import evaluate_cohort

    folder = None if output is None else Path(output)
    if images is not None:
        scan_finder(images)  # a wrong path is told now, not after an hour of scoring
    scores = evaluate_cohort(Path(predictions), Path(references), output=folder, **options)
    if folder is not None:
        report_scores(scores, predictions, references, output=folder, images=images)
    return scores


def plan(
    images: AnyPath | None = None,
    labels: AnyPath | None = None,
    *,
    source: Source | None = None,
    settings: PlanSettings | None = None,
    output: AnyPath | None = None,
    progress: ReadingProgress | None = None,
) -> Planned:
    """Check a labelled data set and plan its training; as ``unet-med plan``.

    Args:
        images: Folder of scans, or an nnU-Net, Decathlon or BIDS data set.
        labels: Folder of label maps; None = in the same folder.
        source: Instead of the two: lists, names, regions, what to ignore.
        settings: Budget and wishes.
        output: Bundle folder, or ``.json`` file, to write the plan to, if there is one.
        progress: Follows the reading of cases.

    Returns:
        ``checked`` with all findings, ``recipe`` and ``plan``; these are None, and
        ``exit_code`` 2, when there are errors.

    Raises:
        InputError: Nothing is found, or a list cannot be used.
        RecipeError: A file of changes does not fit.
        OutputError: The plan cannot be written.
    """
    from unet_med.planning import PlanSettings, Source, plan_training

    where = source or Source(
        images=None if images is None else Path(images),
        labels=None if labels is None else Path(labels),
    )
    planned = plan_training(where, settings or PlanSettings(), probe=_probe, progress=progress)
    if output is not None and planned.plan is not None:
        planned.save(Path(output))
    return planned


def _probe(shape: Shape) -> float:
    """Measure a training step; torch is loaded only now, when the data are known to be good."""
    from unet_med.planning.probe import seconds_per_step

    return seconds_per_step(shape)


def report_scores(  # noqa: PLR0913 - the settings of the command, by their names
    scores: CohortScores,
    predictions: AnyPath,
    references: AnyPath,
    *,
    output: AnyPath,
    images: AnyPath | None = None,
    kinds: Sequence[str] = ("html",),
    progress: Progress | None = None,
) -> list[Path]:
    """Write report.html for scores, into the folder of their tables.

    Args:
        scores: What `evaluate` returned.
        predictions: What was scored.
        references: What it was scored against.
        output: Folder.
        images: Folder of the scans; None = those that sidecars beside the predictions name, where
            they are still there and unchanged.
        kinds: ``html`` for report.html, ``png`` for pictures of the worst and the median slice of
            each label.
        progress: Called after each case.

    Returns:
        What was written.

    Raises:
        InputError: ``images`` does not exist or holds no volume.
        OutputError: A file cannot be written.
    """
    from unet_med.batch.scans import scan_finder
    from unet_med.reporting import evaluation_sources, write_evaluation_report, write_overlays

    sources = evaluation_sources(
        scores, Path(predictions), Path(references), find_scan=scan_finder(images)
    )
    folder = Path(output)
    written: list[Path] = []
    if "html" in kinds:
        written += write_evaluation_report(scores, sources, folder, progress=progress).files
    return written + (write_overlays(scores, sources, folder) if "png" in kinds else [])


def report(
    folder: AnyPath,
    *,
    output: AnyPath | None = None,
    images: AnyPath | None = None,
    kinds: Sequence[str] = ("html",),
) -> Written:
    """Write report.html about an output folder of `segment`; as ``unet-med report``.

    Args:
        folder: The output folder: masks, sidecars and ledger.
        output: Where to write; None = into the same folder.
        images: Folder of the scans; None = those that the sidecars name.
        kinds: ``html`` and ``png``, as in `report_scores`.

    Returns:
        ``files``, and why cases could not be shown in ``failed``.

    Raises:
        InputError: There is no such folder, or it holds no masks of this program.
        OutputError: A file cannot be written.
    """
    from unet_med.batch.finished import report_folder
    from unet_med.batch.scans import scan_finder

    return report_folder(
        Path(folder),
        Path(folder if output is None else output),
        find_scan=scan_finder(images),
        kinds=kinds,
    )


def train(
    images: AnyPath | None,
    labels: AnyPath | None,
    output: AnyPath,
    *,
    source: Source | None = None,
    settings: PlanSettings | None = None,
    **options: Unpack[TrainOptions],
) -> TrainingResult | FoldsResult:
    """Train a bundle on labelled scans; the same as the command ``unet-med train``.

    Args:
        images: Folder of scans, as for `plan`.
        labels: Folder of label maps.
        output: The new bundle's folder.
        source: Instead of the two folders, as for `plan`.
        settings: Budget and wishes, as for `plan`.
        **options: ``resume``, ``init``, ``cache``, ``workers``, ``precision`` as
            `unet_med.training.RunOptions` has them, ``folds`` (a cross-validation; see
            `unet_med.folds`), ``command_line`` for the model card, and ``progress`` of the
            reading of cases.

    Returns:
        Where the bundle is, and how well it does on the cases held out.

    Raises:
        UnetMedError: The data, the plan or the folder cannot be used.
    """
    from unet_med.training import RunOptions, train_bundle

    unknown = sorted(set(options) - set(TrainOptions.__annotations__))
    if unknown:
        msg = f"train() got unknown options {', '.join(unknown)}"
        raise TypeError(msg)
    init, cache = options.get("init"), options.get("cache")
    how = RunOptions(
        resume=options.get("resume", False),
        init=None if init is None else Path(init),
        cache=None if cache is None else Path(cache),
        workers=options.get("workers", 0),
        precision=options.get("precision", "auto"),
        command_line=options.get("command_line", "unet_med.train() in Python"),
    )

    folds = options.get("folds")

    def planned() -> Planned:
        return plan(
            images, labels, source=source, settings=settings, progress=options.get("progress")
        )

    if folds is None:
        return train_bundle(Path(output), lambda: _for_training(planned()), how)
    from unet_med.folds import train_folds

    if settings is not None and settings.augmentation != "slices":
        msg = "folds are trained on slices: leave --augmentation out"
        raise InputError(msg)
    return train_folds(Path(output), planned, folds, how)


def _for_training(planned: Planned) -> tuple[Recipe, TrainingPlan]:
    """Return recipe and plan, or refuse a data set with errors by their texts."""
    if planned.recipe is None or planned.plan is None:
        faults = [finding.text for finding in planned.checked.errors]
        msg = f"the data cannot be trained on: {'; '.join(faults)}; see unet-med plan"
        raise InputError(msg)
    return planned.recipe, planned.plan
