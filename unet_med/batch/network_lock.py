"""One network, several cases: it is never idle while one of them has slices for it."""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from unet_med._progress import Progress
    from unet_med.backends import SlicePredictor

_POLL_S = 0.2


class RunStopped(Exception):  # noqa: N818 - no error: the user stopped the run
    """The run was stopped; the case in flight ends without a result."""


class NetworkLock:
    """Gives the network of a process to one case at a time, call by call.

    The case that came first goes first, and may begin calls while others run; a later one gets the
    network call by call while the first reads, makes labels or writes. So cases do not end
    together, and what comes before and after the network is hidden behind that of the other.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._cases: list[CaseLock] = []
        self._waiting: list[CaseLock] = []
        self._numbers = itertools.count()
        self._busy = False
        self._stopped = False

    def stop(self) -> None:
        """Let every case end with `RunStopped` at its next slices."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def for_case(self, progress: Progress) -> CaseLock:
        """Return a case's place in the order.

        Args:
            progress: Called with (slices done, slices in all) of the case that is first.
        """
        return CaseLock(self, progress)

    def join(self, case_lock: CaseLock) -> None:
        """Add a case to the end of the order."""
        with self._changed:
            case_lock.number = next(self._numbers)
            self._cases.append(case_lock)

    def leave(self, case_lock: CaseLock) -> None:
        """Take a case from the order."""
        with self._changed:
            self._cases.remove(case_lock)
            self._changed.notify_all()

    def is_first(self, case_lock: CaseLock) -> bool:
        """Return whether no case came before; also the place where a stopped run ends.

        Raises:
            RunStopped: The run was stopped.
        """
        with self._changed:
            self._check_stopped()
            return self._cases[:1] == [case_lock]

    def acquire(self, case_lock: CaseLock) -> None:
        """Wait for the network and hold it.

        Raises:
            RunStopped: The run was stopped.
        """
        with self._changed:
            self._waiting.append(case_lock)
            try:
                while self._busy or min(self._waiting, key=lambda one: one.number) is not case_lock:
                    self._check_stopped()
                    self._changed.wait(_POLL_S)
                self._check_stopped()
                self._busy = True
            finally:
                self._waiting.remove(case_lock)

    def release(self) -> None:
        """Let the next case have the network."""
        with self._changed:
            self._busy = False
            self._changed.notify_all()

    def _check_stopped(self) -> None:
        if self._stopped:
            msg = "stopped"
            raise RunStopped(msg)


class CaseLock:
    """A case's place in the order, for the time of a ``with`` block.

    Attributes:
        number: The place, counted from 0.
        waited_s: Seconds that the case waited for the network so far.
    """

    def __init__(self, network_lock: NetworkLock, progress: Progress) -> None:
        self._network_lock = network_lock
        self._progress = progress
        self.number = 0
        self.waited_s = 0.0

    def __enter__(self) -> Self:
        self._network_lock.join(self)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._network_lock.leave(self)

    def wrap(self, predictor: SlicePredictor) -> SlicePredictor:
        """Return a predictor that runs when this case has the lock."""
        return _LockedPredictor(predictor, self)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the network when this case has the lock, for the time of a ``with`` block.

        Raises:
            RunStopped: The run was stopped.
        """
        start = time.perf_counter()
        self._network_lock.acquire(self)
        self.waited_s += time.perf_counter() - start
        try:
            yield
        finally:
            self._network_lock.release()

    def is_first(self) -> bool:
        """Return whether no case came before.

        Raises:
            RunStopped: The run was stopped.
        """
        return self._network_lock.is_first(self)

    def report_progress(self, done: int, total: int) -> None:
        """Pass progress on, if no other case came before.

        Raises:
            RunStopped: The run was stopped.
        """
        if self.is_first():
            self._progress(done, total)


class _LockedPredictor:
    """A predictor that runs when its case has the lock."""

    def __init__(self, predictor: SlicePredictor, case_lock: CaseLock) -> None:
        self._predictor = predictor
        self._case_lock = case_lock

    def __call__(self, slices: NDArray[np.float32], /) -> NDArray[np.float32]:
        with self._case_lock.hold():
            return self._predictor(slices)

    def submit(self, slices: NDArray[np.float32], /) -> Callable[[], NDArray[np.float32]] | None:
        """Begin a call that goes on by itself if no case came before.

        It holds the network for nobody, so a later case's calls, one at a time, are run in between.
        """
        submit = getattr(self._predictor, "submit", None)
        return submit(slices) if submit is not None and self._case_lock.is_first() else None
