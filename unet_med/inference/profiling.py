"""How long each stage of the stream was busy."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


class StageTimer:
    """Adds up seconds per stage; stages that overlap add up to more than passes on the wall.

    Threads may time at once.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            passed = time.perf_counter() - start
            with self._lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + passed

    def busy(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Hand items on, and count the time that their user takes with each to a stage."""
        for item in items:
            with self.stage(name):
                yield item
