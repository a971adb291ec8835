"""A batch: an output folder is opened, its cases are worked off, and a report says how."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from unet_med.batch.crew import Crew, Here
from unet_med.batch.destination import (
    Destination,
    check_destination,
    open_folder,
    remove_leftovers,
)
from unet_med.batch.frames import split_frames
from unet_med.batch.ledger import open_ledger
from unet_med.batch.report import BatchReport
from unet_med.batch.session import Session
from unet_med.batch.task import Common
from unet_med.errors import InputError
from unet_med.segmenter import Segmenter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unet_med.batch.settings import BatchSettings
    from unet_med.cases.case import Case, CaseList
    from unet_med.segmenter import SegmenterLoader

    Network = Segmenter | SegmenterLoader

logger = logging.getLogger(__name__)


def run_batch(
    cases: CaseList,
    destination: Destination,
    *,
    segmenter: Network,
    settings: BatchSettings,
    crew: Crew | None = None,
) -> BatchReport:
    """Segment cases; whatever happens to one, the others go on.

    Args:
        cases: From ``find_cases``.
        destination: Where masks go; its folder is made.
        segmenter: The network that runs; with a crew it need not be loaded here.
        settings: What the user asks.
        crew: Makes the cases, and is ended; None = this process.

    Returns:
        How every case ended.

    Raises:
        InputError: The destination or the settings cannot be right for these cases.
        OutputError: The output folder cannot be written, or another run holds it.
        ClusterError: Nobody is left who could make cases.
    """
    todo = choose_frames(cases.cases, segmenter=segmenter, settings=settings)
    check_destination(destination, todo, maps=settings.save)
    listener = settings.listener
    workers = crew or crew_here(segmenter, settings)
    common = common_of(segmenter, settings)
    with open_session(destination, todo, crew=workers, common=common, settings=settings) as session:
        listener.batch_started(len(todo), rule=cases.rule, execution=segmenter.execution)
        began = time.perf_counter()
        outcomes = session.run(todo)
        return BatchReport(
            tuple(outcomes),
            session.ledger.path,
            cases.rule,
            segmenter.execution,
            elapsed_s=time.perf_counter() - began,
            left=len(todo) - len(outcomes),
        )


@contextmanager
def open_session(
    destination: Destination,
    cases: Sequence[Case],
    *,
    crew: Crew,
    common: Common,
    settings: BatchSettings,
) -> Iterator[Session]:
    """Hold an output folder, clean of what killed runs left, for the time of a block.

    Args:
        destination: Where masks go; its folder is made.
        cases: Those whose folders are cleaned.
        crew: Makes the cases; it is ended with the block.
        common: What the cases share.
        settings: As for `run_batch`.

    Yields:
        What works off cases.

    Raises:
        OutputError: The output folder cannot be written, or another run holds it.
    """
    open_folder(destination)
    exclusive = destination.file_name is None  # runs of one file each may share a folder
    with open_ledger(destination.folder, exclusive=exclusive) as ledger:
        removed = remove_leftovers(destination, cases)
        logger.debug("removed %d leftovers of killed runs", removed)
        try:
            yield Session(destination, ledger, crew, common, settings)
        finally:
            crew.stop()
            remove_leftovers(destination, cases)  # of worker processes that were ended


def common_of(segmenter: Network, settings: BatchSettings) -> Common:
    """Return what all cases of a run share."""
    return Common(
        segmenter.identity(),
        segmenter.execution,
        policy=settings.policy,
        rules=segmenter.rules,
        save=settings.save,
        command_line=settings.command_line,
    )


def choose_frames(
    cases: Sequence[Case], *, segmenter: Network, settings: BatchSettings
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


def crew_here(segmenter: Network, settings: BatchSettings) -> Here:
    """Return this process as a crew, with the network loaded."""
    loaded = segmenter if isinstance(segmenter, Segmenter) else segmenter.load()
    return Here(loaded, settings.listener)
