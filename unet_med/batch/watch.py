"""Watching import folders: cases are taken when their files have come to rest."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unet_med.batch.destination import check_destination
from unet_med.batch.failures import Reason
from unet_med.batch.ledger import Status
from unet_med.batch.report import BatchReport
from unet_med.batch.runner import choose_frames, common_of, crew_here, open_session
from unet_med.batch.task import file_stamps
from unet_med.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from unet_med.batch.crew import Crew
    from unet_med.batch.destination import Destination
    from unet_med.batch.report import Outcome
    from unet_med.batch.runner import Network
    from unet_med.batch.settings import BatchSettings
    from unet_med.batch.task import Stamp
    from unet_med.cases.case import Case, CaseList

logger = logging.getLogger(__name__)

SETTLE_S = 10.0
_FASTEST_LOOK_S, _SLOWEST_LOOK_S = 0.1, 5.0
_FIRST_RETRY_S, _LAST_RETRY_S = 300.0, 86400.0
_PASSING = frozenset({str(Reason.OUTPUT), str(Reason.MEMORY), str(Reason.UNEXPECTED)})
"""Failures that another time or a hand may mend although the scan stays the same."""


def watch_batch(
    find: Callable[[], CaseList],
    destination: Destination,
    *,
    segmenter: Network,
    settings: BatchSettings,
    crew: Crew | None = None,
    settle_s: float | None = None,
) -> BatchReport:
    """Segment what comes into folders until the process is told to end.

    A case is taken when size, time and identity of all its files have not changed for
    ``settle_s``, and again when they change. One that failed waits for a change of its files,
    or, if the reason may pass (a full disk, no memory), for a while that doubles each time.

    Args:
        find: Finds the cases that are there now.
        destination: A folder; it is held as long as the watch lasts.
        segmenter: The network that runs; with a crew it need not be loaded here.
        settings: What the user asks.
        crew: Makes the cases, and is ended; None = this process.
        settle_s: Seconds of rest, None = 10; 0 = files are only ever renamed into the folders
            whole.

    Returns:
        How the cases ended, the last time each, after SIGINT or SIGTERM.

    Raises:
        InputError: The settings cannot be right, or the output is a file.
        OutputError: The output folder cannot be written, or another run holds it.
    """
    settle_s = SETTLE_S if settle_s is None else settle_s
    if settings.limit is not None or destination.file_name is not None or settle_s < 0:
        msg = "a watch takes no --limit, a folder as --output, and --settle of 0 or more seconds"
        raise InputError(msg)
    began = time.monotonic()
    last: dict[str, Outcome] = {}
    arrivals = Arrivals(settle_s)
    pause = min(max(settle_s / 4, _FASTEST_LOOK_S), _SLOWEST_LOOK_S)
    workers = crew or crew_here(segmenter, settings)
    common = common_of(segmenter, settings)
    complaints = _Complaints()

    def look() -> tuple[Case, ...]:
        return complaints.listen(lambda: _there(find, destination, segmenter, settings))

    def on_end(outcome: Outcome) -> None:
        last[outcome.case.key] = outcome
        arrivals.ended(outcome)

    rule = f"watching, files at rest for {settle_s:g} s"
    with open_session(
        destination, look(), crew=workers, common=common, settings=settings
    ) as session:
        settings.listener.batch_started(0, rule=rule, execution=segmenter.execution)
        try:
            while True:
                session.run(arrivals.ready(look()), on_end=on_end)
                time.sleep(pause)
        except KeyboardInterrupt:  # the one way a watch ends
            logger.debug("told to end", exc_info=True)
    return BatchReport(
        tuple(last.values()),
        session.ledger.path,
        rule,
        segmenter.execution,
        elapsed_s=time.monotonic() - began,
    )


@dataclass
class _Seen:
    """What is known of one case's files."""

    stamps: tuple[Stamp, ...]
    since: float
    taken: bool = False
    again_at: float = float("inf")
    waits: float = _FIRST_RETRY_S


@dataclass
class Arrivals:
    """Which cases have come to rest and were not taken as they are.

    Attributes:
        settle_s: Seconds without a change.
        clock: Seconds that never jump, as ``time.monotonic``.
    """

    settle_s: float
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, _Seen] = field(default_factory=dict)

    def ready(self, cases: Iterable[Case]) -> list[Case]:
        """Return the cases to take now; they count as taken."""
        now = self.clock()
        before, self._seen = self._seen, {}  # what has vanished is forgotten
        chosen = []
        for case in cases:
            stamps = tuple(stamp for path in case.paths for stamp in file_stamps(path))
            seen = before.get(case.key)
            if seen is None or seen.stamps != stamps:
                seen = _Seen(stamps, now)
            self._seen[case.key] = seen
            due = now >= seen.again_at if seen.taken else now - seen.since >= self.settle_s
            if due:
                seen.taken, seen.again_at = True, float("inf")
                chosen.append(case)
        return chosen

    def ended(self, outcome: Outcome) -> None:
        """Let a case come again if its failure may pass."""
        seen = self._seen.get(outcome.case.key)
        if seen is None or outcome.status is not Status.FAILED or outcome.reason not in _PASSING:
            return
        seen.again_at = self.clock() + seen.waits
        seen.waits = min(2 * seen.waits, _LAST_RETRY_S)


class _Complaints:
    """Says once what stands in the way of finding cases, and goes on."""

    def __init__(self) -> None:
        self._last = ""

    def listen(self, find: Callable[[], tuple[Case, ...]]) -> tuple[Case, ...]:
        try:
            cases = find()
        except (InputError, OSError) as exc:
            if str(exc) != self._last:
                logger.warning("nothing to do now: %s", exc)
            self._last = str(exc)
            return ()
        self._last = ""
        return cases


def _there(
    find: Callable[[], CaseList],
    destination: Destination,
    segmenter: Network,
    settings: BatchSettings,
) -> tuple[Case, ...]:
    """Return the cases that are there now, if they can be told apart."""
    cases = choose_frames(find().cases, segmenter=segmenter, settings=settings)
    check_destination(destination, cases, maps=settings.save)
    return cases
