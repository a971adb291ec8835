"""The workers of a running Dask cluster as a crew; the only file that knows Dask."""

from __future__ import annotations

import time
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unet_med._optional import require
from unet_med.batch.making import attempt_elsewhere
from unet_med.batch.processes import ProcessDied
from unet_med.errors import BundleError, ClusterError, UnetMedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unet_med.batch.making import Loader, Made
    from unet_med.batch.task import Task, Work

_CONNECT_S = 10.0
_ASK_S = 5.0
"""How long an answer about the size of the cluster is believed."""

_AHEAD = 2
"""Cases given to the cluster per thread of its workers, so that none of them waits."""

_FEWEST = 16
"""Cases given to a cluster of any size, so that one that grows with its work begins to."""


@contextmanager
def dask_crew(address: str, loader: Loader) -> Iterator[Cluster]:
    """Connect to a Dask scheduler for the time of a block.

    Args:
        address: The scheduler's, for instance ``tcp://10.0.0.1:8786``.
        loader: Loads the network on the workers, from the same folder as here.

    Yields:
        The crew.

    Raises:
        MissingExtraError: distributed is not installed.
        ClusterError: No scheduler answers there.
        BundleError: A worker there is without the bundle, or has another one.
    """
    distributed = require("distributed", extra="dask")
    try:
        client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as exc:
        msg = f"no Dask scheduler answers at {address}: start one, or check the address"
        raise ClusterError(msg) from exc
    with client:
        _refuse_unfit_workers(client, loader)
        yield Cluster(client, loader)


class Cluster:
    """A crew of Dask workers, which digest the scans and make the masks.

    A case whose worker dies is done by another one; after as many deaths as the scheduler's
    ``allowed-failures`` the case is taken to be the cause.
    """

    examines = True

    def __init__(self, client: Any, loader: Loader) -> None:  # noqa: ANN401 - an extra
        self._client = client
        self._loader = loader
        self._killed = require("distributed.scheduler", extra="dask").KilledWorker
        self._executor = client.get_executor(pure=False)
        self._room = _FEWEST
        self._asked = float("-inf")

    def room(self) -> int:
        """Return how many cases it takes at once; clusters grow and shrink."""
        if time.monotonic() > self._asked + _ASK_S:
            self._room = max(_FEWEST, _AHEAD * sum(self._client.nthreads().values()))
            self._asked = time.monotonic()
        return self._room

    def submit(self, task: Task, work: Work | None) -> Future[Made]:
        """Give a case to the cluster."""
        made: Future[Made] = Future()

        def pass_on(theirs: Future[Made]) -> None:
            if theirs.cancelled():
                made.cancel()
                made.set_running_or_notify_cancel()
                return
            error = theirs.exception()
            if isinstance(error, self._killed):
                error = ProcessDied(str(error))
            if error is not None:
                made.set_exception(error)
            else:
                made.set_result(theirs.result())

        theirs = self._executor.submit(attempt_elsewhere, self._loader, _absolute(task), work)
        theirs.add_done_callback(pass_on)
        return made

    def stop(self) -> None:
        """Take back what no worker has begun; what one has begun is not used."""
        self._client.close()


def _absolute(task: Task) -> Task:
    """Return a task whose paths mean the same in any working folder."""
    paths = tuple(path.absolute() for path in task.case.paths)
    return replace(task, case=replace(task.case, paths=paths), mask=task.mask.absolute())


def _refuse_unfit_workers(client: Any, loader: Loader) -> None:  # noqa: ANN401 - an extra
    """Ask all workers that are there whether they have the bundle."""
    answers: dict[str, str] = client.run(_obstacle, loader)
    for worker, obstacle in answers.items():
        if obstacle:
            msg = f"the Dask worker {worker} cannot run this batch: {obstacle}"
            raise BundleError(msg)


def _obstacle(loader: Loader) -> str:
    """Say on a worker why it cannot load the network; empty = it can."""
    try:
        loader.check_elsewhere()
    except UnetMedError as exc:
        return str(exc)
    return ""
