"""Watch folders, and take a case when its files are stable."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unet_med.batch.destination import check_destination
from unet_med.batch.ledger import Status
from unet_med.batch.report import BatchReport, FailureReason
from unet_med.batch.runner import inline_executor, open_scheduler, run_context, select_frames
from unet_med.batch.task import file_states
from unet_med.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from unet_med.batch.destination import Destination
    from unet_med.batch.executors import CaseExecutor
    from unet_med.batch.report import Outcome
    from unet_med.batch.runner import AnySegmenter
    from unet_med.batch.settings import BatchSettings
    from unet_med.batch.task import FileState
    from unet_med.cases.case import Case, CaseList

logger = logging.getLogger(__name__)

DEFAULT_STABLE_SECONDS = 10.0
_MIN_POLL_S, _MAX_POLL_S = 0.1, 5.0
_MIN_RETRY_S, _MAX_RETRY_S = 300.0, 86400.0
_TRANSIENT = frozenset(
    {str(FailureReason.OUTPUT), str(FailureReason.MEMORY), str(FailureReason.UNEXPECTED)}
)
"""Failures that another time or a hand may mend although the scan stays the same."""


def watch_batch(
    find: Callable[[], CaseList],
    destination: Destination,
    *,
    segmenter: AnySegmenter,
    settings: BatchSettings,
    executor: CaseExecutor | None = None,
    stable_seconds: float | None = None,
) -> BatchReport:
    """Segment what comes into folders until the process is told to end.

    A case is taken when size, time and identity of all its files have not changed for
    ``stable_seconds``, and again when they change. One that failed waits for a change of its files,
    or, if the reason may pass (a full disk, no memory), for a while that doubles each time.

    Args:
        find: Finds the cases that are there now.
        destination: A folder; it is held as long as the watch lasts.
        segmenter: The network that runs; with an executor it need not be loaded here.
        settings: What the user asks.
        executor: Makes the cases, and is ended; None = this process.
        stable_seconds: Seconds of rest, None = 10; 0 = files are only ever renamed into the folders
            whole.

    Returns:
        How the cases ended, the last time each, after SIGINT or SIGTERM.

    Raises:
        InputError: The settings cannot be right, or the output is a file.
        OutputError: The output folder cannot be written, or another run holds it.

    Example:
        >>> from pathlib import Path
        >>> from unet_med.batch import BatchSettings, Destination
        >>> from unet_med.cases import CaseList
        >>> from unet_med.segmenter import resolve_segmenter
        >>> watch_batch(
        ...     lambda: CaseList((), "one per file"),
        ...     Destination(Path("masks")),
        ...     segmenter=resolve_segmenter(),
        ...     settings=BatchSettings(limit=5),
        ... )
        Traceback (most recent call last):
        unet_med.errors.InputError: a watch takes no --limit, a folder as --output, and ...
    """
    stable_seconds = DEFAULT_STABLE_SECONDS if stable_seconds is None else stable_seconds
    if settings.limit is not None or destination.file_name is not None or stable_seconds < 0:
        msg = (
            "a watch takes no --limit, a folder as --output, "
            "and --stable-seconds of 0 or more seconds"
        )
        raise InputError(msg)
    began = time.monotonic()
    last: dict[str, Outcome] = {}
    tracker = StabilityTracker(stable_seconds)
    pause = min(max(stable_seconds / 4, _MIN_POLL_S), _MAX_POLL_S)
    workers = executor or inline_executor(segmenter, settings)
    context = run_context(segmenter, settings)
    warn_once = _WarnOnce()

    def poll() -> tuple[Case, ...]:
        return warn_once.call(lambda: _find_cases(find, destination, segmenter, settings))

    def on_end(outcome: Outcome) -> None:
        last[outcome.case.key] = outcome
        tracker.ended(outcome)

    rule = f"watching, files stable for {stable_seconds:g} s"
    with open_scheduler(
        destination, poll(), executor=workers, context=context, settings=settings
    ) as scheduler:
        settings.listener.batch_started(0, rule=rule, execution=segmenter.execution)
        try:
            while True:
                scheduler.run(tracker.ready(poll()), on_end=on_end)
                time.sleep(pause)
        except KeyboardInterrupt:  # the one way a watch ends
            logger.debug("told to end", exc_info=True)
    return BatchReport(
        tuple(last.values()),
        scheduler.ledger.path,
        rule,
        segmenter.execution,
        elapsed_s=time.monotonic() - began,
    )


@dataclass
class _TrackedCase:
    """What is known of one case's files."""

    states: tuple[FileState, ...]
    since: float
    taken: bool = False
    retry_at: float = float("inf")
    retry_wait_s: float = _MIN_RETRY_S


@dataclass
class StabilityTracker:
    """Which cases have stable files and were not taken as they are.

    Attributes:
        stable_seconds: Seconds without a change.
        clock: Seconds that never jump, as ``time.monotonic``.
    """

    stable_seconds: float
    clock: Callable[[], float] = time.monotonic
    _tracked: dict[str, _TrackedCase] = field(default_factory=dict)

    def ready(self, cases: Iterable[Case]) -> list[Case]:
        """Return the cases to take now; they count as taken."""
        now = self.clock()
        before, self._tracked = self._tracked, {}  # what has vanished is forgotten
        chosen = []
        for case in cases:
            states = tuple(state for path in case.paths for state in file_states(path))
            tracked = before.get(case.key)
            if tracked is None or tracked.states != states:
                tracked = _TrackedCase(states, now)
            self._tracked[case.key] = tracked
            due = (
                now >= tracked.retry_at
                if tracked.taken
                else now - tracked.since >= self.stable_seconds
            )
            if due:
                tracked.taken, tracked.retry_at = True, float("inf")
                chosen.append(case)
        return chosen

    def ended(self, outcome: Outcome) -> None:
        """Let a case come again if its failure may pass."""
        tracked = self._tracked.get(outcome.case.key)
        if (
            tracked is None
            or outcome.status is not Status.FAILED
            or outcome.reason not in _TRANSIENT
        ):
            return
        tracked.retry_at = self.clock() + tracked.retry_wait_s
        tracked.retry_wait_s = min(2 * tracked.retry_wait_s, _MAX_RETRY_S)


class _WarnOnce:
    """Says once what stands in the way of finding cases, and goes on."""

    def __init__(self) -> None:
        self._last = ""

    def call(self, find: Callable[[], tuple[Case, ...]]) -> tuple[Case, ...]:
        try:
            cases = find()
        except (InputError, OSError) as exc:
            if str(exc) != self._last:
                logger.warning("nothing to do now: %s", exc)
            self._last = str(exc)
            return ()
        self._last = ""
        return cases


def _find_cases(
    find: Callable[[], CaseList],
    destination: Destination,
    segmenter: AnySegmenter,
    settings: BatchSettings,
) -> tuple[Case, ...]:
    """Return the cases that are there now, if they can be told apart."""
    cases = select_frames(find().cases, segmenter=segmenter, settings=settings)
    check_destination(destination, cases, maps=settings.save_maps)
    return cases
