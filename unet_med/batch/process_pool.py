"""An executor of child processes, where the death of one concerns its own call alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

P = ParamSpec("P")
T = TypeVar("T")

_MAX_ATTEMPTS = 2
_DIED = "the process died"


class ProcessDied(RuntimeError):  # noqa: N818 - what happened, as BrokenProcessPool
    """A call ended its process more than once."""


class ProcessPool(Executor):
    """Runs calls in child processes, one at a time in each.

    A call whose process dies (out of memory, a crash in a library) is tried once more in a
    new process and then raises `ProcessDied`; calls in other processes go on, which
    ``ProcessPoolExecutor`` cannot do. Children are spawned, since a forked child would inherit
    the locks of other threads, and end with this process, however it ends.

    Args:
        count: Number of processes, at least 1; each starts with its first call.
    """

    def __init__(self, count: int) -> None:
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="unet_med-process")
        self._thread = threading.local()
        self._children: list[_Child] = []
        self._stopped = False
        self._start_lock = threading.Lock()

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function in one of the processes; it and its arguments are pickled."""
        return self._threads.submit(self._call, function, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - the base's
        """Let calls end, or with ``cancel_futures`` end the processes at once."""
        if cancel_futures:
            self._end_children()
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        self._end_children()

    def _call(self, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        for _ in range(_MAX_ATTEMPTS):
            child = self._child()
            answer = child.call(function, args, kwargs)
            if answer is not None:
                value, error = answer
                if error is not None:
                    raise error
                return value  # type: ignore[no-any-return]
            child.end()
            self._thread.child = None
        raise ProcessDied(_DIED)

    def _child(self) -> _Child:
        """Return this thread's process.

        Raises:
            ProcessDied: All are ended.
        """
        child: _Child | None = getattr(self._thread, "child", None)
        if child is not None:
            return child
        with self._start_lock:
            if self._stopped:
                raise ProcessDied(_DIED)
            child = self._thread.child = _Child()
            self._children.append(child)
            return child

    def _end_children(self) -> None:
        with self._start_lock:
            self._stopped = True
        for child in self._children:
            child.end()


class _Child:
    """One child process and the pipe to it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()  # so that its death is seen here as the end of the pipe

    def call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> tuple[Any, Exception | None] | None:
        """Call a function there and return what it returned and raised; None = it died."""
        try:
            self._pipe.send((function, args, kwargs))
            answer: tuple[Any, Exception | None] = self._pipe.recv()
        except (EOFError, OSError):
            return None
        return answer

    def end(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection) -> None:
    """Answer calls until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to children too
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            function, args, kwargs = pipe.recv()
        except EOFError:
            return
        value: Any = None
        error: Exception | None = None
        try:
            value = function(*args, **kwargs)
        except Exception as exc:  # noqa: BLE001 - raised again in the caller
            error = exc
        pipe.send((value, error))


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, even if it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
