"""Score many pairs of masks, in this process or in several; a broken case fails alone."""

from __future__ import annotations

import logging
import multiprocessing
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from unet_med.errors import InputError, UnetMedError
from unet_med.evaluation.case import evaluate_case
from unet_med.evaluation.scores import CaseScores, FailedCase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from unet_med.evaluation.pairing import Pair
    from unet_med.evaluation.settings import EvaluationSettings

logger = logging.getLogger(__name__)

Result = CaseScores | FailedCase


def evaluate_pairs(
    pairs: Sequence[Pair], settings: EvaluationSettings, *, jobs: int = 1
) -> Iterator[Result]:
    """Yield one result per pair, in their order.

    Args:
        pairs: What to score.
        settings: How.
        jobs: Processes; 1 works in this one.

    Raises:
        InputError: ``jobs`` is not positive.
    """
    if jobs < 1:
        msg = f"jobs is a number of processes, 1 or more; got {jobs}"
        raise InputError(msg)
    if jobs == 1 or len(pairs) < 2:  # noqa: PLR2004 - nothing to share
        return (evaluate_pair(pair, settings) for pair in pairs)
    return _in_order(pairs, settings, jobs=min(jobs, len(pairs)))


def evaluate_pair(pair: Pair, settings: EvaluationSettings) -> Result:
    """Score one pair; whatever goes wrong becomes a `FailedCase`."""
    try:
        return evaluate_case(
            pair.prediction,
            pair.reference,
            labels=settings.labels,
            slice_axis=settings.slice_axis,
            case=pair.case,
            metrics=settings.metrics,
        )
    except UnetMedError as exc:
        return FailedCase(pair.case, str(exc))
    except Exception as exc:  # one unreadable case must not stop the others
        logger.exception("%s failed", pair.case)
        return FailedCase(pair.case, f"{type(exc).__name__}: {exc}; see the log")


def _in_order(
    pairs: Sequence[Pair], settings: EvaluationSettings, *, jobs: int
) -> Iterator[Result]:
    """Hold back what finishes early."""
    waiting: dict[int, Result] = {}
    due = 0
    for index, result in _as_completed(pairs, settings, jobs=jobs):
        waiting[index] = result
        while due in waiting:
            yield waiting.pop(due)
            due += 1


def _as_completed(
    pairs: Sequence[Pair], settings: EvaluationSettings, *, jobs: int
) -> Iterator[tuple[int, Result]]:
    """Yield index and result; after a process died, begin again with a new set of them."""
    todo = list(range(len(pairs)))[::-1]
    while todo:
        suspects: list[int] = []
        with _pool(jobs) as pool:

            def submit(index: int, pool: ProcessPoolExecutor = pool) -> Future[Result]:
                return pool.submit(evaluate_pair, pairs[index], settings)

            for index, result in _work_off(todo, submit, at_once=jobs):
                if result is None:
                    suspects.append(index)
                else:
                    yield index, result
        # A process that dies takes down those beside it: each gets a process of its own.
        for index in suspects:
            yield index, _alone(pairs[index], settings)


def _work_off(
    todo: list[int], submit: Callable[[int], Future[Result]], *, at_once: int
) -> Iterator[tuple[int, Result | None]]:
    """Take from the end of ``todo``; stop taking once a process has died (result None)."""
    running: dict[Future[Result], int] = {}
    broken = False
    while running or (todo and not broken):
        while todo and len(running) < at_once and not broken:
            try:
                running[submit(todo[-1])] = todo[-1]
            except BrokenProcessPool:
                broken = True
            else:
                todo.pop()
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            index = running.pop(future)
            error = future.exception()
            broken = broken or isinstance(error, BrokenProcessPool)
            yield index, None if isinstance(error, BrokenProcessPool) else future.result()


def _alone(pair: Pair, settings: EvaluationSettings) -> Result:
    with _pool(1) as pool:
        try:
            return pool.submit(evaluate_pair, pair, settings).result()
        except BrokenProcessPool:
            msg = (
                "the process that scored it died, as it does when memory runs out; use fewer "
                "--jobs, or --metrics counts"
            )
            return FailedCase(pair.case, msg)


def _pool(jobs: int) -> ProcessPoolExecutor:
    # A forked child inherits locks that other threads hold; a spawned one begins clean.
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))
