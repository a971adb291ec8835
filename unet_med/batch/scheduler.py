"""The loop over cases: a few in flight, each ends in one outcome, no case stops the others."""

from __future__ import annotations

import logging
import queue
from collections import deque
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unet_med._process_pool import WorkerDiedError
from unet_med.batch.ledger import Ledger, LedgerEntry, Status
from unet_med.batch.network_lock import RunStopped
from unet_med.batch.report import KILLED, STOPPED, Failure, FailureReason, Outcome, failure_of
from unet_med.batch.resume import ResumeDecision
from unet_med.batch.task import PreparedTask, RunContext, Task, prepare
from unet_med.batch.worker import commit
from unet_med.errors import ClusterError, OutputError, UnetMedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    from unet_med.batch.destination import Destination
    from unet_med.batch.executors import CaseExecutor
    from unet_med.batch.settings import BatchSettings
    from unet_med.batch.worker import WorkerResult
    from unet_med.cases import Case

logger = logging.getLogger(__name__)

_POLL_S = 1.0
"""How often an executor is asked whether it has grown."""


@dataclass(frozen=True, slots=True)
class Scheduler:
    """An output folder that this run holds, and who makes masks for it.

    Attributes:
        destination: Where masks go.
        ledger: Its record, written by this process alone.
        executor: Makes the cases.
        context: What all cases share.
        settings: What the user asks.
    """

    destination: Destination
    ledger: Ledger
    executor: CaseExecutor
    context: RunContext
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
            KeyboardInterrupt: The user stopped the run; what is in flight was abandoned.
            ClusterError: Nobody is left who could make cases.
        """
        case_queue = _CaseQueue(self, deque(enumerate(cases)), on_end)
        try:
            while case_queue.is_open():
                task = case_queue.take()
                if task is not None:
                    case_queue.start(task)
                case_queue.collect(wait=task is None)
        finally:
            case_queue.cancel()
        return [outcome for _, outcome in sorted(case_queue.ended.items())]

    def task(self, case: Case) -> Task:
        """Return what is to be done for a case."""
        history = self.ledger.history(self.destination.ledger_key(case))
        return Task(case, self.destination.mask_path(case), history, self.context)


class _CaseQueue:
    """The cases that wait, those in flight, and how the others ended, by number."""

    def __init__(
        self,
        scheduler: Scheduler,
        waiting: deque[tuple[int, Case]],
        on_end: Callable[[Outcome], None] | None,
    ) -> None:
        self.ended: dict[int, Outcome] = {}
        self._scheduler = scheduler
        self._waiting = waiting
        self._on_end = on_end
        self._running: dict[Future[WorkerResult], tuple[int, Task]] = {}
        self._completed: queue.SimpleQueue[Future[WorkerResult]] = queue.SimpleQueue()
        self._alone = False
        self._n_done = 0

    def is_open(self) -> bool:
        """Tell whether cases are in flight, or one may be begun."""
        return bool(self._running) or (bool(self._waiting) and self._n_allowed() > 0)

    def cancel(self) -> None:
        """Give up what is in flight; what is finished is kept."""
        if not self._running:
            return
        self._scheduler.executor.stop()
        for future, (index, task) in list(self._running.items()):
            if future.done() and not future.cancelled() and future.exception() is None:
                self._report(index, self._finish(task, future))
            else:
                self._record_failure(task, Failure(STOPPED, FailureReason.STOPPED))
        self._running.clear()

    def _n_allowed(self) -> int:
        """Return how many more cases may be begun."""
        limit = self._scheduler.settings.limit
        capacity = 1 if self._alone else self._scheduler.executor.capacity()
        left = capacity if limit is None else min(capacity, limit - self._n_done)
        return left - len(self._running)

    def take(self) -> tuple[int, Task] | None:
        """Take the next case, with its number, from those that wait; None = there is no room."""
        if not self._waiting or self._n_allowed() < 1:
            return None
        index, case = self._waiting[0]
        task = self._scheduler.task(case)
        if task.history.is_suspect and self._running:
            return None
        self._waiting.popleft()
        self._scheduler.settings.listener.case_started(case, index + 1)
        return index, task

    def start(self, numbered: tuple[int, Task]) -> None:
        """Hand a case to the executor, or find that there is nothing to do for it."""
        index, task = numbered
        executor = self._scheduler.executor
        prepared: PreparedTask | None = None
        outcome: Outcome | None = None
        future: Future[WorkerResult] | None = None
        try:
            if task.case.problem is not None or not executor.prepares:
                prepared = prepare(task)
            if prepared is not None and prepared.decision is not ResumeDecision.RUN:
                outcome = self._end_without_run(task, prepared)
            else:
                # Where the executor prepares, the case runs on other machines: its start has no
                # fingerprint, and if this process is killed the case is not to blame.
                self._append_entry(task, Status.STARTED, prepared)
                future = executor.submit(task, prepared)
        except KeyboardInterrupt:
            self._record_failure(task, Failure(STOPPED, FailureReason.STOPPED))
            raise
        except Exception as exc:  # a bad file must not stop the batch
            logger.debug("%s failed", task.case.key, exc_info=True)
            outcome = self._fail(task, failure_of(exc))
        if outcome is not None:
            self._report(index, outcome)
        if future is not None:
            self._running[future] = index, task
            self._alone = task.history.is_suspect
            future.add_done_callback(self._completed.put)

    def collect(self, *, wait: bool) -> None:
        """End the cases that are ready; with ``wait`` at least one, or look again."""
        try:
            future = self._completed.get(block=wait and bool(self._running), timeout=_POLL_S)
        except queue.Empty:
            return
        index, task = self._running[future]
        outcome = self._finish(task, future)
        del self._running[future]
        self._alone = False
        self._n_done += outcome.status is Status.DONE
        self._report(index, outcome)

    def _finish(self, task: Task, future: Future[WorkerResult]) -> Outcome:
        """Turn what came back from the executor into an outcome."""
        try:
            return self._handle_result(task, future.result())
        except (KeyboardInterrupt, RunStopped) as exc:
            raise KeyboardInterrupt from exc
        except CancelledError as exc:
            msg = "the cluster is gone: the same command goes on with the rest"
            raise ClusterError(msg) from exc
        except WorkerDiedError:
            return self._killed(task)
        except Exception as exc:
            logger.debug("%s failed", task.case.key, exc_info=True)
            return self._fail(task, failure_of(exc))

    def _handle_result(self, task: Task, result: WorkerResult) -> Outcome:
        if isinstance(result, PreparedTask):
            return self._end_without_run(task, result)
        if isinstance(result, Failure):
            return self._fail(task, result)
        output = self._scheduler.destination.ledger_key(task.case)
        return commit(task, result, output=output, ledger=self._scheduler.ledger)

    def _end_without_run(self, task: Task, prepared: PreparedTask) -> Outcome:
        """End a case that needs no work."""
        if prepared.decision is ResumeDecision.KILLED:
            self._append_entry(task, Status.FAILED, prepared, error=KILLED, killed=True)
            return _failed(task, Failure(KILLED, FailureReason.KILLED))
        self._append_entry(task, Status.SKIPPED, prepared)
        return Outcome(task.case, Status.SKIPPED, task.mask)

    def _killed(self, task: Task) -> Outcome:
        """End a case whose processes died; this one is alive to say so."""
        prepared: PreparedTask | None = None
        with suppress(UnetMedError):  # to know it again next time, if its inputs are still there
            prepared = prepare(task)
        self._append_entry(task, Status.FAILED, prepared, error=KILLED, killed=True)
        return _failed(task, Failure(KILLED, FailureReason.KILLED))

    def _fail(self, task: Task, failure: Failure) -> Outcome:
        self._record_failure(task, failure)
        return _failed(task, failure)

    def _record_failure(self, task: Task, failure: Failure) -> None:
        """Add a failure to the ledger; if not even that can be written, the report has it."""
        output = self._scheduler.destination.ledger_key(task.case)
        known = self._scheduler.ledger.history(output).unfinished_fingerprint
        entry = LedgerEntry(
            task.case.key,
            output,
            Status.FAILED,
            fingerprint=known,
            error=failure.error,
            reason=str(failure.reason),
        )
        try:
            self._scheduler.ledger.append(entry)
        except OutputError as exc:
            logger.warning("%s", exc)

    def _append_entry(
        self,
        task: Task,
        status: Status,
        prepared: PreparedTask | None,
        *,
        error: str | None = None,
        killed: bool = False,
    ) -> None:
        """Add a line that has to be there before anything else is done."""
        entry = LedgerEntry(
            task.case.key,
            self._scheduler.destination.ledger_key(task.case),
            status,
            fingerprint=None if prepared is None else prepared.fingerprint,
            error=error,
            reason=str(FailureReason.KILLED) if killed else None,
            killed=killed,
        )
        self._scheduler.ledger.append(entry, flush=status is not Status.SKIPPED)

    def _report(self, index: int, outcome: Outcome) -> None:
        self.ended[index] = outcome
        if self._on_end is not None:
            self._on_end(outcome)
        self._scheduler.settings.listener.case_ended(outcome)


def _failed(task: Task, failure: Failure) -> Outcome:
    return Outcome(
        task.case, Status.FAILED, task.mask, error=failure.error, reason=str(failure.reason)
    )
