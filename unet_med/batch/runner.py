"""Run a batch: open the output folder, run its cases, report how they ended."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from unet_med.batch.destination import (
    Destination,
    check_destination,
    create_output_folder,
    remove_leftovers,
)
from unet_med.batch.executors import CaseExecutor, InlineExecutor
from unet_med.batch.ledger import open_ledger
from unet_med.batch.report import BatchReport
from unet_med.batch.scheduler import Scheduler
from unet_med.batch.task import RunContext
from unet_med.errors import InputError, UnetMedError
from unet_med.segmenter import Segmenter
from unet_med.volumes import open_volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unet_med.batch.settings import BatchSettings
    from unet_med.cases.case import Case, CaseList
    from unet_med.segmenter import SegmenterLoader

    AnySegmenter = Segmenter | SegmenterLoader
    from collections.abc import Iterable

    from unet_med.volumes import ReadOptions

logger = logging.getLogger(__name__)


def run_batch(
    cases: CaseList,
    destination: Destination,
    *,
    segmenter: AnySegmenter,
    settings: BatchSettings,
    executor: CaseExecutor | None = None,
) -> BatchReport:
    """Segment cases; whatever happens to one, the others go on.

    Args:
        cases: From ``find_cases``.
        destination: Where masks go; its folder is made.
        segmenter: The network that runs; with an executor it need not be loaded here.
        settings: What the user asks.
        executor: Makes the cases, and is ended; None = this process.

    Returns:
        How every case ended.

    Raises:
        InputError: The destination or the settings cannot be right for these cases.
        OutputError: The output folder cannot be written, or another run holds it.
        ClusterError: Nobody is left who could make cases.

    Example:
        >>> from pathlib import Path, PurePosixPath
        >>> from tempfile import TemporaryDirectory
        >>> from unet_med.batch import BatchSettings
        >>> from unet_med.cases import Case, CaseList
        >>> from unet_med.segmenter import load_segmenter
        >>> lost = Case("knee", PurePosixPath(), (Path("knee.nii"),), problem="the file is gone")
        >>> with TemporaryDirectory() as folder:
        ...     report = run_batch(
        ...         CaseList((lost,), "one per file"),
        ...         Destination(Path(folder)),
        ...         segmenter=load_segmenter(),
        ...         settings=BatchSettings(),
        ...     )
        >>> report.outcomes[0].error, report.exit_code
        ('the file is gone', 1)
    """
    todo = select_frames(cases.cases, segmenter=segmenter, settings=settings)
    check_destination(destination, todo, maps=settings.save_maps)
    listener = settings.listener
    workers = executor or inline_executor(segmenter, settings)
    context = run_context(segmenter, settings)
    with open_scheduler(
        destination, todo, executor=workers, context=context, settings=settings
    ) as scheduler:
        listener.batch_started(len(todo), rule=cases.rule, execution=segmenter.execution)
        began = time.perf_counter()
        outcomes = scheduler.run(todo)
        return BatchReport(
            tuple(outcomes),
            scheduler.ledger.path,
            cases.rule,
            segmenter.execution,
            elapsed_s=time.perf_counter() - began,
            remaining=len(todo) - len(outcomes),
        )


@contextmanager
def open_scheduler(
    destination: Destination,
    cases: Sequence[Case],
    *,
    executor: CaseExecutor,
    context: RunContext,
    settings: BatchSettings,
) -> Iterator[Scheduler]:
    """Hold an output folder, clean of what killed runs left, for the time of a block.

    Args:
        destination: Where masks go; its folder is made.
        cases: Those whose folders are cleaned.
        executor: Makes the cases; it is ended with the block.
        context: What the cases share.
        settings: As for `run_batch`.

    Yields:
        What works off cases.

    Raises:
        OutputError: The output folder cannot be written, or another run holds it.
    """
    create_output_folder(destination)
    exclusive = destination.file_name is None  # runs of one file each may share a folder
    with open_ledger(destination.folder, exclusive=exclusive) as ledger:
        removed = remove_leftovers(destination, cases)
        logger.debug("removed %d leftovers of killed runs", removed)
        try:
            yield Scheduler(destination, ledger, executor, context, settings)
        finally:
            executor.stop()
            remove_leftovers(destination, cases)  # of worker processes that were ended


def run_context(segmenter: AnySegmenter, settings: BatchSettings) -> RunContext:
    """Return what all cases of a run share."""
    return RunContext(
        segmenter.identity(),
        segmenter.execution,
        policy=settings.policy,
        rules=segmenter.rules,
        save_maps=settings.save_maps,
        command_line=settings.command_line,
    )


def select_frames(
    cases: Sequence[Case], *, segmenter: AnySegmenter, settings: BatchSettings
) -> tuple[Case, ...]:
    """Apply ``channel`` and ``frames``, which recipes with one channel know.

    Raises:
        InputError: The recipe takes several channels.
    """
    n_channels = len(segmenter.recipe.channels)
    if n_channels > 1 and (settings.frames or settings.channel is not None):
        msg = f"channel and frames are for recipes with one channel; this one takes {n_channels}"
        raise InputError(msg)
    if settings.frames:
        return split_frames(cases, segmenter.rules)
    return tuple(replace(case, channel=settings.channel) for case in cases)


def inline_executor(segmenter: AnySegmenter, settings: BatchSettings) -> InlineExecutor:
    """Return this process as an executor, with the network loaded."""
    loaded = segmenter if isinstance(segmenter, Segmenter) else segmenter.load()
    return InlineExecutor(loaded, settings.listener)


def split_frames(cases: Iterable[Case], rules: ReadOptions) -> tuple[Case, ...]:
    """Replace each case of a 4D file by one per frame, ``<id>_frame0000`` and so on.

    Only headers are read. A 3D file stays one case with its own name; a file that cannot be read
    becomes a case with a problem.

    Args:
        cases: As found.
        rules: How their scans are read.

    Example:
        >>> from pathlib import Path, PurePosixPath
        >>> from unet_med.cases import Case
        >>> from unet_med.volumes import ReadOptions
        >>> gone = Case("knee", PurePosixPath(), (Path("no_such_scan.nii"),))
        >>> [(case.key, case.problem is not None) for case in split_frames([gone], ReadOptions())]
        [('knee', True)]
    """
    return tuple(frame for case in cases for frame in _frames(case, rules))


def _frames(case: Case, rules: ReadOptions) -> list[Case]:
    if case.problem is not None:
        return [case]
    try:
        scan = open_volume(case.paths[0], limits=rules.limits, series=rules.series)
    except UnetMedError as exc:
        return [replace(case, problem=str(exc))]
    count = scan.n_channels
    if count == 1:
        return [case]
    return [replace(case, id=f"{case.id}_frame{n:04d}", channel=n) for n in range(count)]
