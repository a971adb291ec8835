"""Who makes the cases: this process, or any executor's processes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from unet_med.batch.making import attempt, attempt_elsewhere, load_process
from unet_med.batch.processes import ProcessDied, Processes
from unet_med.batch.turn import Turn
from unet_med.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor, Future

    from unet_med.batch.making import Loader, Made
    from unet_med.batch.report import Listener
    from unet_med.batch.task import Task, Work
    from unet_med.segmenter import Segmenter

_AT_ONCE_HERE = 2
"""While one reads, makes labels or writes, the other has the network."""


class Crew(Protocol):
    """Makes cases. The ledger and the final names are the runner's alone."""

    @property
    def examines(self) -> bool:
        """Whether the crew digests inputs too, rather than the runner."""

    def room(self) -> int:
        """Return how many cases it takes at once."""

    def submit(self, task: Task, work: Work | None) -> Future[Made]:
        """Begin a case; ``work`` is known unless the crew examines."""

    def stop(self) -> None:
        """Abandon the cases in hand and return when nothing of them goes on here."""


class Here:
    """This process: the next case is opened and the last is written while one is computed."""

    examines = False

    def __init__(self, segmenter: Segmenter, listener: Listener) -> None:
        self._segmenter = segmenter
        self._listener = listener
        self._turn = Turn()
        self._pool = ThreadPoolExecutor(_AT_ONCE_HERE, thread_name_prefix="unet_med-case")

    def room(self) -> int:
        """Return how many cases it takes at once."""
        return _AT_ONCE_HERE

    def submit(self, task: Task, work: Work | None) -> Future[Made]:
        """Begin a case."""
        return self._pool.submit(
            attempt,
            task,
            work,
            segmenter=self._segmenter,
            turn=self._turn,
            progress=self._listener.case_progress,
        )

    def stop(self) -> None:
        """Abandon the cases in hand at their next slices."""
        self._turn.stop()
        self._pool.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The processes of an executor on this machine, each of which loads the network once.

    Attributes:
        executor: Any; what it calls and returns is pickled. The caller ends it.
        loader: Loads the network there.
        at_once: Cases it is given at once.
    """

    executor: Executor
    loader: Loader
    at_once: int
    examines: ClassVar[bool] = False

    def room(self) -> int:
        """Return how many cases it takes at once."""
        return self.at_once

    def submit(self, task: Task, work: Work | None) -> Future[Made]:
        """Begin a case."""
        return self.executor.submit(attempt_elsewhere, self.loader, task, work)

    def stop(self) -> None:
        """Abandon the cases in hand."""
        self.executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def processes_crew(jobs: int, loader: Loader) -> Iterator[Elsewhere]:
    """Start processes on this machine for the time of a block.

    Args:
        jobs: How many.
        loader: Loads the network in each.

    Yields:
        The crew, which is given one case more than there are processes, so that none waits.

    Raises:
        UnetMedError: The network cannot be loaded.
    """
    executor = Processes(jobs)
    try:
        _load_one(executor, loader)
        yield Elsewhere(executor, loader, jobs + 1)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _load_one(executor: Executor, loader: Loader) -> None:
    """Let the first process load the network, so that what is wrong is said once."""
    try:
        executor.submit(load_process, loader).result()
    except ProcessDied as exc:
        msg = "a process died while it loaded the network (out of memory?): use fewer --jobs"
        raise ClusterError(msg) from exc
