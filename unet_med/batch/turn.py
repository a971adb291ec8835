"""One network, several cases: while one has it, the next is opened and the last is written."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Progress = Callable[[int, int], None]

_LOOK_S = 0.2


class Abandoned(Exception):  # noqa: N818 - no error: the user stopped the run
    """The run was stopped; the case in hand ends without a result."""


class Turn:
    """Gives the network of a process to one case at a time."""

    def __init__(self) -> None:
        self._network = threading.Lock()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let every case that has or wants the network end with `Abandoned`."""
        self._stopped.set()

    @contextmanager
    def network(self, progress: Progress) -> Iterator[Progress]:
        """Wait for the network and hold it until the last slice, or the end of the block.

        Args:
            progress: Called with (slices done, slices in all).

        Yields:
            What the case calls instead, from any thread.

        Raises:
            Abandoned: The run was stopped.
        """
        while not self._network.acquire(timeout=_LOOK_S):
            self._go_on()
        held = [True]

        def release() -> None:
            if held:
                held.clear()
                self._network.release()

        def follow(done: int, total: int) -> None:
            self._go_on()
            progress(done, total)
            if done == total:
                release()

        try:
            self._go_on()
            yield follow
        finally:
            release()

    def _go_on(self) -> None:
        if self._stopped.is_set():
            msg = "stopped"
            raise Abandoned(msg)
