"""Segment files, folders and globs of scans."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from unet_med.api.options import refuse_unknown
from unet_med.backends import available_threads
from unet_med.batch import (
    BatchSettings,
    CaseList,
    Destination,
    NullListener,
    dask_executor,
    dry_run_batch,
    find_cases,
    process_executor,
    run_batch,
    watch_batch,
)
from unet_med.errors import InputError
from unet_med.segmenter import SegmenterLoader, open_bundles, resolve_segmenter
from unet_med.volumes import Limits, ReadOptions, SeriesSelection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unet_med.api.options import StrPath
    from unet_med.batch import BatchReport, CaseExecutor, Listener
    from unet_med.recipe import Channel


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
    stable_seconds: float | None
    jobs: int
    dask: str | None
    channel: int | None
    frames: bool
    save_maps: Sequence[str]
    max_voxels: int | None
    series: str | None
    keep_identifiers: bool
    format: str
    command_line: str


def segment(
    inputs: StrPath | Sequence[StrPath],
    output: StrPath,
    *,
    bundle: StrPath | Sequence[StrPath] | None = None,
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
            ``stable_seconds``, ``jobs``, ``dask``, ``channel``, ``frames``, ``save_maps``,
            ``max_voxels``, ``series``, ``format`` as on the command line. With ``jobs`` > 1 a
            script needs ``if __name__ == "__main__":``, since processes are spawned.

    Returns:
        How every case ended; a failed case is no exception, see ``exit_code``.

    Raises:
        UnetMedError: Nothing could start: no input, no bundle, or no place to write.
    """
    refuse_unknown(options, SegmentOptions, function="segment")
    settings = _settings(options, listener)
    dry_run, watch = options.get("dry_run", False), options.get("watch", False)
    if dry_run and watch:
        msg = "a dry run looks once and a watch goes on: give only one of them"
        raise InputError(msg)
    folders = _folders(bundle)
    channels = open_bundles(folders)[0].recipe.channels
    find = _finder(inputs, output, channels)
    cases = CaseList((), "") if watch else find()
    destination = Destination.parse(output, format=options.get("format", "nifti"))
    resolved = _resolved(folders, options)
    rules = _read_rules(options).for_modalities(channel.modality for channel in channels)
    loader = replace(resolved, rules=rules)
    if dry_run:
        return dry_run_batch(cases, destination, segmenter=loader, settings=settings)
    with _executor(loader, jobs=options.get("jobs", 1), dask=options.get("dask")) as executor:
        if watch:
            return watch_batch(
                find,
                destination,
                segmenter=loader,
                settings=settings,
                executor=executor,
                stable_seconds=options.get("stable_seconds"),
            )
        return run_batch(cases, destination, segmenter=loader, settings=settings, executor=executor)


def _finder(
    inputs: StrPath | Sequence[StrPath], output: StrPath, channels: Sequence[Channel]
) -> Callable[[], CaseList]:
    """Return what finds the cases, at once or again and again."""
    many = [inputs] if isinstance(inputs, str | PathLike) else inputs
    return partial(
        find_cases,
        [str(item) for item in many],
        n_channels=len(channels),
        output=Path(output),
        channel_names=[channel.name for channel in channels],
    )


def _settings(options: SegmentOptions, listener: Listener | None) -> BatchSettings:
    return BatchSettings(
        overwrite=options.get("overwrite", False),
        retry_failed=options.get("retry_failed", False),
        limit=options.get("limit"),
        channel=options.get("channel"),
        frames=options.get("frames", False),
        save_maps=tuple(options.get("save_maps", ())),
        command_line=options.get("command_line", "unet_med.segment() in Python"),
        listener=listener or NullListener(),
    )


def _resolved(folders: Path | list[Path] | None, options: SegmentOptions) -> SegmenterLoader:
    """Choose what runs the network, here and in each process."""
    threads = options.get("threads")
    return resolve_segmenter(
        folders,
        tta=options.get("tta", "recipe"),
        device=options.get("device", "auto"),
        backend=options.get("backend", "auto"),
        precision=options.get("precision", "auto"),
        threads=_threads_each(options.get("jobs", 1)) if threads is None else threads,
        memory_gb=options.get("memory_gb"),
    )


def _read_rules(options: SegmentOptions) -> ReadOptions:
    keep = options.get("keep_identifiers", False)
    series = SeriesSelection(options.get("series"), keep_identifiers=keep)
    return ReadOptions(Limits.for_scans(options.get("max_voxels")), series)


def _threads_each(jobs: int) -> int | None:
    """Divide this process's processors among processes."""
    return None if jobs <= 1 else max(1, available_threads() // jobs)


def _executor(
    loader: SegmenterLoader, *, jobs: int, dask: str | None
) -> AbstractContextManager[CaseExecutor | None]:
    """Return the executor of the cases; None = this process."""
    if jobs < 1:
        msg = f"jobs is a number of processes, 1 or more; got {jobs}"
        raise InputError(msg)
    if dask is not None and jobs > 1:
        msg = "jobs are processes of this machine and dask is a cluster: give only one of them"
        raise InputError(msg)
    if dask is not None:
        return dask_executor(dask, loader)
    return process_executor(jobs, loader) if jobs > 1 else nullcontext()


def _folders(bundle: StrPath | Sequence[StrPath] | None) -> Path | list[Path] | None:
    if bundle is None or isinstance(bundle, str | PathLike):
        return None if bundle is None else Path(bundle)
    return [Path(folder) for folder in bundle]
