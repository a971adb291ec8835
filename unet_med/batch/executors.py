"""Execute cases in this process, in a pool of processes, or on the workers of a Dask cluster."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from unet_med._optional import import_optional
from unet_med._process_pool import ProcessPool, WorkerDiedError
from unet_med.batch.network_lock import NetworkLock
from unet_med.batch.worker import load_worker, run_case, run_case_in_worker
from unet_med.errors import BundleError, ClusterError, UnetMedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor

    from unet_med.batch.report import Listener
    from unet_med.batch.task import PreparedTask, Task
    from unet_med.batch.worker import Loader, WorkerResult
    from unet_med.segmenter import Segmenter

INLINE_CAPACITY = 2
"""While one reads, makes labels or writes, the other has the network."""


class CaseExecutor(Protocol):
    """Make masks of cases. The ledger and the final names are the runner's alone.

    Example:
        >>> from unet_med.segmenter import resolve_segmenter
        >>> with ThreadPoolExecutor(2) as pool:
        ...     executor: CaseExecutor = ProcessExecutor(pool, resolve_segmenter(), max_cases=3)
        ...     executor.prepares, executor.capacity()
        (False, 3)
    """

    @property
    def prepares(self) -> bool:
        """Whether the executor digests inputs too, rather than the runner."""

    def capacity(self) -> int:
        """Return how many cases it takes at once."""

    def submit(self, task: Task, prepared: PreparedTask | None) -> Future[WorkerResult]:
        """Begin a case; ``prepared`` is known unless the executor prepares."""

    def stop(self) -> None:
        """Abandon the cases in flight and return when nothing of them goes on here."""


class InlineExecutor:
    """This process: the next case is opened and the last is written while one is computed."""

    prepares = False

    def __init__(self, segmenter: Segmenter, listener: Listener) -> None:
        self._segmenter = segmenter
        self._listener = listener
        self._network_lock = NetworkLock()
        self._pool = ThreadPoolExecutor(INLINE_CAPACITY, thread_name_prefix="unet_med-case")

    def capacity(self) -> int:
        """Return how many cases it takes at once."""
        return INLINE_CAPACITY

    def submit(self, task: Task, prepared: PreparedTask | None) -> Future[WorkerResult]:
        """Begin a case."""
        return self._pool.submit(
            run_case,
            task,
            prepared,
            segmenter=self._segmenter,
            network_lock=self._network_lock,
            progress=self._listener.case_progress,
        )

    def stop(self) -> None:
        """Abandon the cases in flight at their next slices."""
        self._network_lock.stop()
        self._pool.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class ProcessExecutor:
    """Execute cases in a pool of processes, each of which loads the network once.

    Attributes:
        pool: Any executor; what it calls and returns is pickled. The caller ends it.
        loader: Loads the network there.
        max_cases: Cases it is given at once.

    Example:
        >>> from unet_med.segmenter import resolve_segmenter
        >>> with ThreadPoolExecutor(2) as pool:
        ...     ProcessExecutor(pool, resolve_segmenter(), max_cases=3).capacity()
        3
    """

    pool: Executor | ProcessPool
    loader: Loader
    max_cases: int
    prepares: ClassVar[bool] = False

    def capacity(self) -> int:
        """Return how many cases it takes at once."""
        return self.max_cases

    def submit(self, task: Task, prepared: PreparedTask | None) -> Future[WorkerResult]:
        """Begin a case."""
        return self.pool.submit(run_case_in_worker, self.loader, task, prepared)

    def stop(self) -> None:
        """Abandon the cases in flight."""
        self.pool.shutdown(cancel_futures=True)


@contextmanager
def process_executor(jobs: int, loader: Loader) -> Iterator[ProcessExecutor]:
    """Start processes on this machine for the time of a block.

    Args:
        jobs: How many.
        loader: Loads the network in each.

    Yields:
        The executor, which is given one case more than there are processes, so that none waits.

    Raises:
        UnetMedError: The network cannot be loaded.

    Example:
        >>> from unet_med.segmenter import resolve_segmenter
        >>> with process_executor(1, resolve_segmenter()) as executor:
        ...     executor.capacity()
        2
    """
    with ProcessPool(jobs) as pool:
        try:  # in the first process, so that what is wrong is said once
            pool.submit(load_worker, loader).result()
        except WorkerDiedError as exc:
            msg = "a process died while it loaded the network (out of memory?): use fewer --jobs"
            raise ClusterError(msg) from exc
        yield ProcessExecutor(pool, loader, jobs + 1)


_CONNECT_S = 10.0


_CAPACITY_MAX_AGE_S = 5.0
"""How long an answer about the size of the cluster is believed."""


_CASES_PER_THREAD = 2
"""Cases given to the cluster per thread of its workers, so that none of them waits."""


_MIN_CASES = 16
"""Cases given to a cluster of any size, so that one that grows with its work begins to."""


@contextmanager
def dask_executor(address: str, loader: Loader) -> Iterator[DaskExecutor]:
    """Connect to a Dask scheduler for the time of a block.

    Args:
        address: The scheduler's, for instance ``tcp://10.0.0.1:8786``.
        loader: Loads the network on the workers, from the same folder as here.

    Yields:
        The executor.

    Raises:
        MissingExtraError: distributed is not installed.
        ClusterError: No scheduler answers there.
        BundleError: A worker there is without the bundle, or has another one.

    Example:
        >>> from unet_med.segmenter import resolve_segmenter
        >>> try:
        ...     with dask_executor("no address", resolve_segmenter()) as executor:
        ...         executor.capacity()
        ... except UnetMedError as error:  # without the extra dask, it says how to install it
        ...     type(error).__name__ in {"ClusterError", "MissingExtraError"}
        True
    """
    distributed = import_optional("distributed", extra="dask")
    try:
        client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as exc:
        msg = f"no Dask scheduler answers at {address}: start one, or check the address"
        raise ClusterError(msg) from exc
    with client:
        _check_workers(client, loader)
        yield DaskExecutor(client, loader)


class DaskExecutor:
    """An executor of Dask workers, which digest the scans and make the masks.

    A case whose worker dies is done by another one; after as many deaths as the scheduler's
    ``allowed-failures`` the case is taken to be the cause.
    """

    prepares = True

    def __init__(self, client: Any, loader: Loader) -> None:  # noqa: ANN401 - an extra
        self._client = client
        self._loader = loader
        self._killed = import_optional("distributed.scheduler", extra="dask").KilledWorker
        self._pool = client.get_executor(pure=False)
        self._capacity = _MIN_CASES
        self._asked_at = float("-inf")

    def capacity(self) -> int:
        """Return how many cases it takes at once; clusters grow and shrink."""
        if time.monotonic() > self._asked_at + _CAPACITY_MAX_AGE_S:
            self._capacity = max(
                _MIN_CASES, _CASES_PER_THREAD * sum(self._client.nthreads().values())
            )
            self._asked_at = time.monotonic()
        return self._capacity

    def submit(self, task: Task, prepared: PreparedTask | None) -> Future[WorkerResult]:
        """Give a case to the cluster."""
        future: Future[WorkerResult] = Future()

        def pass_on(dask_future: Future[WorkerResult]) -> None:
            if dask_future.cancelled():
                future.cancel()
                future.set_running_or_notify_cancel()
                return
            error = dask_future.exception()
            if isinstance(error, self._killed):
                error = WorkerDiedError(str(error))
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(dask_future.result())

        dask_future = self._pool.submit(
            run_case_in_worker, self._loader, _with_absolute_paths(task), prepared
        )
        dask_future.add_done_callback(pass_on)
        return future

    def stop(self) -> None:
        """Take back what no worker has begun; what one has begun is not used."""
        self._client.close()


def _with_absolute_paths(task: Task) -> Task:
    """Return a task whose paths mean the same in any working folder."""
    paths = tuple(path.absolute() for path in task.case.paths)
    return replace(task, case=replace(task.case, paths=paths), mask=task.mask.absolute())


def _check_workers(client: Any, loader: Loader) -> None:  # noqa: ANN401 - an extra
    """Ask all workers that are there whether they have the bundle."""
    answers: dict[str, str] = client.run(_load_error, loader)
    for worker, error in answers.items():
        if error:
            msg = f"the Dask worker {worker} cannot run this batch: {error}"
            raise BundleError(msg)


def _load_error(loader: Loader) -> str:
    """Say on a worker why it cannot load the network; empty = it can."""
    try:
        loader.check_in_worker()
    except UnetMedError as exc:
        return str(exc)
    return ""
