"""Score many pairs of masks, in this process or in several; a broken case fails alone."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from unet_med._process_pool import ProcessPool, WorkerDiedError
from unet_med.errors import InputError, UnetMedError
from unet_med.evaluation.case import evaluate_case
from unet_med.evaluation.scores import CaseScores, FailedCase

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
    return _in_processes(pairs, settings, jobs=min(jobs, len(pairs)))


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


def _in_processes(
    pairs: Sequence[Pair], settings: EvaluationSettings, *, jobs: int
) -> Iterator[Result]:
    with ProcessPool(jobs) as pool:
        futures = deque(pool.submit(evaluate_pair, pair, settings) for pair in pairs)
        for pair in pairs:
            try:
                result = futures.popleft().result()
            except WorkerDiedError:
                msg = (
                    "the process that scored it died, as it does when memory runs out; use fewer "
                    "--jobs, or --metrics counts"
                )
                result = FailedCase(pair.case, msg)
            yield result
