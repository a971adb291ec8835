"""Segment files, folders and globs of scans."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from unet_med.api.types import (
    Backend,
    Bundles,
    Device,
    File,
    Inputs,
    Jobs,
    MaskFormat,
    Names,
    Precision,
    StrPath,
    Text,
    Tta,
)
from unet_med.errors import InputError

if TYPE_CHECKING:
    from unet_med.batch import BatchReport, CaseExecutor, CaseList, Listener
    from unet_med.recipe import Channel
    from unet_med.segmenter import SegmenterLoader


def segment(
    inputs: Inputs,
    output: File,
    *,
    bundle: Bundles | None = None,
    tta: Tta = "recipe",
    device: Device = "auto",
    backend: Backend = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
    memory_gb: float | None = None,
    overwrite: bool = False,
    retry_failed: bool = False,
    limit: int | None = None,
    dry_run: bool = False,
    watch: bool = False,
    stable_seconds: float | None = None,
    jobs: Jobs = 1,
    dask: Text | None = None,
    save_maps: Names = (),
    format: MaskFormat = "nifti",  # noqa: A002 - the name of the option
    max_voxels: int | None = None,
    series: Text | None = None,
    keep_identifiers: bool = False,
    channel: int | None = None,
    frames: bool = False,
    listener: "Listener | None" = None,
    command_line: str = "unet_med.segment() in Python",
) -> "BatchReport":
    """Segment scans, folders of scans or globs.

    Each case gives OUTPUT/<relative folder>/<id>.nii.gz, a sidecar <id>.json with provenance,
    volumes and warnings, and lines in OUTPUT/ledger.jsonl. Run it again, and only what is new or
    changed is done. For one image in memory: ``unet_med.load().segment(image)``.

    Args:
        inputs: Files, folders (with everything below them) or quoted globs.
        output: Output folder; or, for one case, a file that ends in .nii or .nii.gz.
        bundle: Bundle folder; several are an ensemble, whose mean is taken. Default: the one
            shipped.
        tta: Average over mirrored slices: recipe, none, or axes joined by commas: left-right,
            anterior-posterior, inferior-superior.
        device: Where torch runs.
        backend: Library that runs the network.
        precision: Arithmetic of the network; auto takes only what was verified.
        threads: CPU threads. Default: all processors of this process.
        memory_gb: Memory in GB for slices and network, besides libraries and weights; labels do
            not depend on it. Default: 1, or one slice.
        overwrite: Make all masks again, and replace files that are not ours.
        retry_failed: Try cases again that killed the process.
        limit: Make this many masks at the most; the rest is left.
        dry_run: Say what would be done and why; write nothing.
        watch: Go on with what comes into the folders, until stopped.
        stable_seconds: A watch takes files that did not change for this long; 0 = files are
            renamed in when complete. Default: 10.
        jobs: Processes, which share the threads. A script then needs
            ``if __name__ == "__main__":``.
        dask: Address of a Dask scheduler whose workers do it.
        save_maps: Also write maps <id>.MAP.nii.gz: probabilities (one volume per label),
            uncertainty (chance that the label is wrong), entropy.
        format: Format of the masks; input = that of each scan, for a DICOM series dicom-seg.
        max_voxels: Refuse scans whose header says more. Default: 2^33, 16 GB of int16.
        series: Series of DICOM folders, by number, UID or description ('*T1*'). Default: the only
            one of the recipe's modality that is no localizer.
        keep_identifiers: Put patient and series of a DICOM scan into the sidecar. Default: only
            into a DICOM segmentation, which an archive files by them.
        channel: Take this frame (from 0) of 4D files.
        frames: Write one mask per frame of 4D files.
        listener: Called when cases start and end.
        command_line: Text for the sidecars.

    Returns:
        How every case ended; a failed case is no exception, see ``exit_code``.

    Raises:
        UnetMedError: Nothing could start: no input, no bundle, or no place to write.

    Example:
        >>> import tempfile
        >>> from unet_med.bundle import demo_data
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = segment(demo_data() / "images", folder, dry_run=True)
        ...     report.exit_code, len(report.outcomes)
        (0, 1)
    """
    from unet_med.batch import (
        BatchSettings,
        Destination,
        NullListener,
        dry_run_batch,
        run_batch,
        watch_batch,
    )
    from unet_med.segmenter import open_bundles, resolve_segmenter
    from unet_med.volumes import Limits, ReadOptions, SeriesSelection

    settings = BatchSettings(
        overwrite=overwrite,
        retry_failed=retry_failed,
        limit=limit,
        channel=channel,
        frames=frames,
        save_maps=tuple(save_maps),
        command_line=command_line,
        listener=listener or NullListener(),
    )
    if dry_run and watch:
        msg = "a dry run looks once and a watch goes on: give only one of them"
        raise InputError(msg)
    folders = _bundle_folders(bundle)
    channels = open_bundles(folders)[0].recipe.channels
    find = _case_finder(inputs, output, channels)
    cases = None if watch else find()
    destination = Destination.parse(output, format=format)
    loader = resolve_segmenter(
        folders,
        tta=tta,
        device=device,
        backend=backend,
        precision=precision,
        threads=_threads_each(jobs) if threads is None else threads,
        memory_gb=memory_gb,
    )
    selection = SeriesSelection(series, keep_identifiers=keep_identifiers)
    rules = ReadOptions(Limits.for_scans(max_voxels), selection)
    loader = replace(loader, rules=rules.for_modalities(channel.modality for channel in channels))
    if dry_run and cases is not None:
        return dry_run_batch(cases, destination, segmenter=loader, settings=settings)
    with _executor(loader, jobs=jobs, dask=dask) as executor:
        if cases is None:
            return watch_batch(
                find,
                destination,
                segmenter=loader,
                settings=settings,
                executor=executor,
                stable_seconds=stable_seconds,
            )
        return run_batch(cases, destination, segmenter=loader, settings=settings, executor=executor)


def _case_finder(
    inputs: StrPath | Sequence[StrPath], output: StrPath, channels: "Sequence[Channel]"
) -> "Callable[[], CaseList]":
    """Return what finds the cases, at once or again and again."""
    from unet_med.batch import find_cases

    many = [inputs] if isinstance(inputs, str | PathLike) else inputs
    return partial(
        find_cases,
        [str(item) for item in many],
        n_channels=len(channels),
        output=Path(output),
        channel_names=[channel.name for channel in channels],
    )


def _threads_each(jobs: int) -> int | None:
    """Divide this process's processors among processes."""
    from unet_med.backends import available_threads

    return None if jobs <= 1 else max(1, available_threads() // jobs)


def _executor(
    loader: "SegmenterLoader", *, jobs: int, dask: str | None
) -> "AbstractContextManager[CaseExecutor | None]":
    """Return the executor of the cases; None = this process."""
    from unet_med.batch import dask_executor, process_executor

    if jobs < 1:
        msg = f"jobs is a number of processes, 1 or more; got {jobs}"
        raise InputError(msg)
    if dask is not None and jobs > 1:
        msg = "jobs are processes of this machine and dask is a cluster: give only one of them"
        raise InputError(msg)
    if dask is not None:
        return dask_executor(dask, loader)
    return process_executor(jobs, loader) if jobs > 1 else nullcontext()


def _bundle_folders(bundle: StrPath | Sequence[StrPath] | None) -> Path | list[Path] | None:
    if bundle is None or isinstance(bundle, str | PathLike):
        return None if bundle is None else Path(bundle)
    return [Path(folder) for folder in bundle]
