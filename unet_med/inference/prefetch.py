"""Doing the next piece of work while the last one is used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _End:
    """What the worker hands over last: nothing more, or what went wrong."""

    error: BaseException | None = None


class Prefetch(Generic[T]):
    """Iterate over an iterable that runs in a thread of its own, a few items ahead.

    Order and items are the iterable's. What it raises is raised here, at its place in the
    order. Leaving the iteration early stops the thread before it starts another item.

    Args:
        items: Iterated in the thread.
        depth: Items that wait to be used at the most, while one more is being made. With 0 the
            next item is begun when the last one is taken: two are alive at a time, no more.
    """

    def __init__(self, items: Iterable[T], *, depth: int = 2) -> None:
        self._items = items
        self._queue: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
        self._slots = threading.Semaphore(depth + 1)
        self._stopped = False

    def __iter__(self) -> Iterator[T]:
        """Yield the items; use it once."""
        item: T | _End | None = None
        worker = threading.Thread(target=self._run, name="unet_med-prefetch", daemon=True)
        worker.start()
        try:
            while not isinstance(item := self._queue.get(), _End):
                self._slots.release()
                yield item
                del item  # its memory may be wanted for the next one
            if item.error is not None:
                raise item.error
        finally:
            item = None  # an error knows this frame; if each held the other, both would stay
            self._stopped = True
            self._slots.release()  # the worker may be waiting for it
            worker.join()

    def _run(self) -> None:
        end = _End()
        try:
            items = iter(self._items)
            while self._slots.acquire() and not self._stopped:
                item = next(items, end)
                if item is end:
                    break
                self._queue.put(item)
                del item
            if isinstance(self._items, Generator):
                self._items.close()  # so that threads of its own stop too, whoever still has it
        except BaseException as exc:  # noqa: BLE001 - carried over to the iterating thread
            self._queue.put(_End(exc))
        else:
            self._queue.put(end)
