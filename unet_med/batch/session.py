"""The loop over cases: a few in hand, each ends in one outcome, no case stops the others."""

from __future__ import annotations

import logging
import queue
from collections import deque
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unet_med.batch.commit import commit
from unet_med.batch.failures import KILLED, STOPPED, Failure, Reason, failure_of
from unet_med.batch.ledger import Entry, Ledger, Status
from unet_med.batch.processes import ProcessDied
from unet_med.batch.report import Outcome
from unet_med.batch.resume import Verdict
from unet_med.batch.task import Common, Task, Work, examine
from unet_med.batch.turn import Abandoned
from unet_med.errors import ClusterError, OutputError, UnetMedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    from unet_med.batch.crew import Crew
    from unet_med.batch.destination import Destination
    from unet_med.batch.making import Made
    from unet_med.batch.settings import BatchSettings
    from unet_med.cases import Case

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
"""How often a crew is asked whether it has grown."""


@dataclass(frozen=True, slots=True)
class Session:
    """An output folder that this run holds, and who makes masks for it.

    Attributes:
        destination: Where masks go.
        ledger: Its record, written by this process alone.
        crew: Makes the cases.
        common: What all cases share.
        settings: What the user asks.
    """

    destination: Destination
    ledger: Ledger
    crew: Crew
    common: Common
    settings: BatchSettings

    def run(
        self, cases: Iterable[Case], *, on_end: Callable[[Outcome], None] | None = None
    ) -> list[Outcome]:
        """Work off cases; whatever happens to one, the others go on.

        Args:
            cases: In the order in which they are begun.
            on_end: Called with each outcome, as the listener is.

        Returns:
            How they ended, in the same order; without those that the limit left out.

        Raises:
            KeyboardInterrupt: The user stopped the run; what is in hand was abandoned.
            ClusterError: Nobody is left who could make cases.
        """
        hands = _Hands(self, deque(enumerate(cases)), on_end)
        try:
            hands.work_off()
        finally:
            hands.abandon()
        return [outcome for _, outcome in sorted(hands.ended.items())]

    def task(self, case: Case) -> Task:
        """Return what is to be done for a case."""
        history = self.ledger.history(self.destination.ledger_key(case))
        return Task(case, self.destination.mask_path(case), history, self.common)


class _Hands:
    """The cases in hand."""

    def __init__(
        self,
        session: Session,
        waiting: deque[tuple[int, Case]],
        on_end: Callable[[Outcome], None] | None,
    ) -> None:
        self._on_end = on_end
        self.ended: dict[int, Outcome] = {}
        self._session = session
        self._waiting = waiting
        self._hand: dict[Future[Made], tuple[int, Task]] = {}
        self._done: queue.SimpleQueue[Future[Made]] = queue.SimpleQueue()
        self._alone = False
        self._made = 0

    def work_off(self) -> None:
        """Begin and end cases until none is left, or as many as the limit allows."""
        while self._hand or (self._waiting and self._allowed() > 0):
            self._collect(wait=not self._begin_next())

    def abandon(self) -> None:
        """Give up what is in hand; what is finished is kept."""
        if not self._hand:
            return
        self._session.crew.stop()
        for future, (index, task) in list(self._hand.items()):
            if future.done() and not future.cancelled() and future.exception() is None:
                self._end(index, self._finish(task, future))
            else:
                self._record(task, Failure(STOPPED, Reason.STOPPED))
        self._hand.clear()

    def _allowed(self) -> int:
        """Return how many more cases may be begun."""
        limit = self._session.settings.limit
        room = 1 if self._alone else self._session.crew.room()
        left = room if limit is None else min(room, limit - self._made)
        return left - len(self._hand)

    def _begin_next(self) -> bool:
        """Begin the next case if there is room; return whether."""
        if not self._waiting or self._allowed() < 1:
            return False
        index, case = self._waiting[0]
        task = self._session.task(case)
        # Work that was in hand when the process was killed may have killed it: it goes alone,
        # so that no other case shares the blame if it does so again.
        suspect = task.history.open_starts > 0 and task.history.open_fingerprint is not None
        if suspect and self._hand:
            return False
        self._waiting.popleft()
        self._session.settings.listener.case_started(case, index + 1)
        outcome = self._begin(index, task)
        if outcome is None:
            self._alone = suspect
        else:
            self._end(index, outcome)
        return True

    def _begin(self, index: int, task: Task) -> Outcome | None:
        """Hand a case to the crew, or find that there is nothing to do for it."""
        session, case = self._session, task.case
        work: Work | None = None
        try:
            if case.problem is not None or not session.crew.examines:
                work = examine(task)
                if work.verdict is not Verdict.RUN:
                    return self._settle(task, work)
            # Where the crew examines, the case runs on other machines: its start has no
            # fingerprint, and if this process is killed the case is not to blame.
            self._append(task, Status.STARTED, work)
            future = session.crew.submit(task, work)
        except KeyboardInterrupt:
            self._record(task, Failure(STOPPED, Reason.STOPPED))
            raise
        except Exception as exc:  # a bad file must not stop the batch
            logger.debug("%s failed", case.key, exc_info=True)
            return self._fail(task, failure_of(exc))
        self._hand[future] = index, task
        future.add_done_callback(self._done.put)
        return None

    def _collect(self, *, wait: bool) -> None:
        """End the cases that are ready; with ``wait`` at least one, or look again."""
        try:
            future = self._done.get(block=wait and bool(self._hand), timeout=_LOOK_S)
        except queue.Empty:
            return
        index, task = self._hand[future]
        outcome = self._finish(task, future)
        del self._hand[future]
        self._alone = False
        self._made += outcome.status is Status.DONE
        self._end(index, outcome)

    def _finish(self, task: Task, future: Future[Made]) -> Outcome:
        """Turn what came back from the crew into an outcome."""
        try:
            return self._take(task, future.result())
        except (KeyboardInterrupt, Abandoned) as exc:
            raise KeyboardInterrupt from exc
        except CancelledError as exc:
            msg = "the cluster is gone: the same command goes on with the rest"
            raise ClusterError(msg) from exc
        except ProcessDied:
            return self._killed(task)
        except Exception as exc:
            logger.debug("%s failed", task.case.key, exc_info=True)
            return self._fail(task, failure_of(exc))

    def _take(self, task: Task, made: Made) -> Outcome:
        if isinstance(made, Work):
            return self._settle(task, made)
        if isinstance(made, Failure):
            return self._fail(task, made)
        output = self._session.destination.ledger_key(task.case)
        return commit(task, made, output=output, ledger=self._session.ledger)

    def _settle(self, task: Task, work: Work) -> Outcome:
        """End a case that needs no work."""
        if work.verdict is Verdict.KILLS:
            self._append(task, Status.FAILED, work, error=KILLED, killed=True)
            return _failed(task, Failure(KILLED, Reason.KILLED))
        self._append(task, Status.SKIPPED, work)
        return Outcome(task.case, Status.SKIPPED, task.mask)

    def _killed(self, task: Task) -> Outcome:
        """End a case whose processes died; this one is alive to say so."""
        work: Work | None = None
        with suppress(UnetMedError):  # to know it again next time, if its inputs are still there
            work = examine(task)
        self._append(task, Status.FAILED, work, error=KILLED, killed=True)
        return _failed(task, Failure(KILLED, Reason.KILLED))

    def _fail(self, task: Task, failure: Failure) -> Outcome:
        self._record(task, failure)
        return _failed(task, failure)

    def _record(self, task: Task, failure: Failure) -> None:
        """Add a failure to the ledger; if not even that can be written, the report has it."""
        output = self._session.destination.ledger_key(task.case)
        known = self._session.ledger.history(output).open_fingerprint
        entry = Entry(
            task.case.key,
            output,
            Status.FAILED,
            fingerprint=known,
            error=failure.error,
            reason=str(failure.reason),
        )
        try:
            self._session.ledger.append(entry)
        except OutputError as exc:
            logger.warning("%s", exc)

    def _append(
        self,
        task: Task,
        status: Status,
        work: Work | None,
        *,
        error: str | None = None,
        killed: bool = False,
    ) -> None:
        """Add a line that has to be there before anything else is done."""
        entry = Entry(
            task.case.key,
            self._session.destination.ledger_key(task.case),
            status,
            fingerprint=None if work is None else work.fingerprint,
            error=error,
            reason=str(Reason.KILLED) if killed else None,
            killed=killed,
        )
        self._session.ledger.append(entry, flush=status is not Status.SKIPPED)

    def _end(self, index: int, outcome: Outcome) -> None:
        self.ended[index] = outcome
        if self._on_end is not None:
            self._on_end(outcome)
        self._session.settings.listener.case_ended(outcome)


def _failed(task: Task, failure: Failure) -> Outcome:
    return Outcome(
        task.case, Status.FAILED, task.mask, error=failure.error, reason=str(failure.reason)
    )
