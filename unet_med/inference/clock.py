"""How long each stage of the stream was busy."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


class StageClock:
    """Adds up seconds per stage; stages that overlap add up to more than passes on the wall.

    Each stage is timed by one thread at a time.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def busy(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Hand items on, and count the time that their user takes with each to a stage."""
        for item in items:
            with self.stage(name):
                yield item
