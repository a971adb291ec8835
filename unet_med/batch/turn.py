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

    from unet_med.backends import SlicePredictor

    Progress = Callable[[int, int], None]

_LOOK_S = 0.2


class Abandoned(Exception):  # noqa: N818 - no error: the user stopped the run
    """The run was stopped; the case in hand ends without a result."""


class Turn:
    """Gives the network of a process to one case at a time, call by call.

    The case that came first goes first, and may begin calls while others run; a later one gets the
    network call by call while the first reads, makes labels or writes. So cases do not end
    together, and what comes before and after the network is hidden behind that of the other.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open: list[Ticket] = []
        self._waiting: list[Ticket] = []
        self._numbers = itertools.count()
        self._busy = False
        self._stopped = False

    def stop(self) -> None:
        """Let every case end with `Abandoned` at its next slices."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def ticket(self, progress: Progress) -> Ticket:
        """Return a case's place in the order.

        Args:
            progress: Called with (slices done, slices in all) of the case that is first.
        """
        return Ticket(self, progress)

    def enter(self, ticket: Ticket) -> None:
        """Add a case to the end of the order."""
        with self._changed:
            ticket.number = next(self._numbers)
            self._open.append(ticket)

    def leave(self, ticket: Ticket) -> None:
        """Take a case from the order."""
        with self._changed:
            self._open.remove(ticket)
            self._changed.notify_all()

    def is_first(self, ticket: Ticket) -> bool:
        """Return whether no case came before; also the place where a stopped run ends.

        Raises:
            Abandoned: The run was stopped.
        """
        with self._changed:
            self._go_on()
            return self._open[:1] == [ticket]

    def take(self, ticket: Ticket) -> None:
        """Wait for the network and hold it.

        Raises:
            Abandoned: The run was stopped.
        """
        with self._changed:
            self._waiting.append(ticket)
            try:
                while self._busy or min(self._waiting, key=lambda one: one.number) is not ticket:
                    self._go_on()
                    self._changed.wait(_LOOK_S)
                self._go_on()
                self._busy = True
            finally:
                self._waiting.remove(ticket)

    def give_back(self) -> None:
        """Let the next case have the network."""
        with self._changed:
            self._busy = False
            self._changed.notify_all()

    def _go_on(self) -> None:
        if self._stopped:
            msg = "stopped"
            raise Abandoned(msg)


class Ticket:
    """A case's place in the order, for the time of a ``with`` block.

    Attributes:
        number: The place, counted from 0.
        waited_s: Seconds that the case waited for the network so far.
    """

    def __init__(self, turn: Turn, progress: Progress) -> None:
        self._turn = turn
        self._progress = progress
        self.number = 0
        self.waited_s = 0.0

    def __enter__(self) -> Self:
        self._turn.enter(self)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._turn.leave(self)

    def guard(self, predictor: SlicePredictor) -> SlicePredictor:
        """Return a predictor that runs when it is this case's turn."""
        return _Guarded(predictor, self)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the network when it is this case's turn, for the time of a ``with`` block.

        Raises:
            Abandoned: The run was stopped.
        """
        start = time.perf_counter()
        self._turn.take(self)
        self.waited_s += time.perf_counter() - start
        try:
            yield
        finally:
            self._turn.give_back()

    def is_first(self) -> bool:
        """Return whether no case came before.

        Raises:
            Abandoned: The run was stopped.
        """
        return self._turn.is_first(self)

    def follow(self, done: int, total: int) -> None:
        """Pass progress on, if no other case came before.

        Raises:
            Abandoned: The run was stopped.
        """
        if self.is_first():
            self._progress(done, total)


class _Guarded:
    """A predictor that runs when it is its case's turn."""

    def __init__(self, predictor: SlicePredictor, ticket: Ticket) -> None:
        self._predictor = predictor
        self._ticket = ticket

    def __call__(self, slices: NDArray[np.float32], /) -> NDArray[np.float32]:
        with self._ticket.hold():
            return self._predictor(slices)

    def start(self, slices: NDArray[np.float32], /) -> Callable[[], NDArray[np.float32]] | None:
        """Begin a call that goes on by itself if no case came before.

        It holds the network for nobody, so a later case's calls, one at a time, are run in between.
        """
        start = getattr(self._predictor, "start", None)
        return start(slices) if start is not None and self._ticket.is_first() else None
