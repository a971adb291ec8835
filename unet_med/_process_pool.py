"""Run calls in child processes, where the death of one process concerns its own call alone.

One pool serves the cases of a batch, the pairs of an evaluation and the folds of a
cross-validation.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from pickle import PicklingError
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from unet_med.errors import UnetMedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

P = ParamSpec("P")
T = TypeVar("T")

_PACKAGE = "unet_med"


class WorkerDiedError(UnetMedError, RuntimeError):
    """The process of a call died, each time it was tried."""


class ProcessPool:
    """Run calls in child processes, one call at a time in each process.

    A call whose process dies (out of memory, a crash in a library) is tried again in a new
    process, then raises `WorkerDiedError`. Calls in other processes go on; with
    ``ProcessPoolExecutor`` they would fail too. Children are spawned, because a forked child
    inherits locks that other threads hold. They end with this process, however it ends. Their log
    records of this package are handled here. As a context manager, the pool ends all processes at
    the end of the block.

    Args:
        count: Number of processes, at least 1. Each starts with its first call.
        attempts: How often a call is tried whose process dies.
        daemon: False = calls may start processes themselves, as data loaders do. Such a pool has
            to be used as a context manager, or Python waits for it at exit.

    Example:
        >>> with ProcessPool(1) as pool:
        ...     pool.submit(divmod, 7, 2).result()
        (3, 1)
    """

    def __init__(self, count: int, *, attempts: int = 2, daemon: bool = True) -> None:
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="unet_med-process")
        self._attempts = attempts
        self._daemon = daemon
        self._thread = threading.local()
        self._children: list[_Child] = []
        self._stopped = False
        self._start_lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.shutdown(cancel_futures=True)

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function in one of the processes; it and its arguments are pickled."""
        return self._threads.submit(self._call, function, args, kwargs)

    def shutdown(self, *, cancel_futures: bool = False) -> None:
        """Wait until all calls have ended, or with ``cancel_futures`` end the processes at once."""
        if cancel_futures:
            self._end_children()
        self._threads.shutdown(cancel_futures=cancel_futures)
        self._end_children()

    def _call(self, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        for _ in range(self._attempts):
            child = self._child()
            try:
                value, error = child.call(function, args, kwargs)
            except (EOFError, OSError):
                child.end()
                self._thread.child = None
                continue
            if error is not None:
                raise error
            return value  # type: ignore[no-any-return]
        msg = "the process that did the work died (out of memory?)"
        raise WorkerDiedError(msg)

    def _child(self) -> _Child:
        """Return this thread's process.

        Raises:
            WorkerDiedError: All are ended.
        """
        child: _Child | None = getattr(self._thread, "child", None)
        if child is not None:
            return child
        with self._start_lock:
            if self._stopped:
                msg = "the processes were ended"
                raise WorkerDiedError(msg)
            child = self._thread.child = _Child(daemon=self._daemon)
            self._children.append(child)
            return child

    def _end_children(self) -> None:
        with self._start_lock:
            self._stopped = True
        for child in self._children:
            child.end()


class _Child:
    """One child process and the pipe to it."""

    def __init__(self, *, daemon: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        level = logging.getLogger(_PACKAGE).getEffectiveLevel()
        self._process = context.Process(target=_serve, args=(theirs, level), daemon=daemon)
        self._process.start()
        theirs.close()  # so that its death is seen here as the end of the pipe

    def call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> tuple[Any, Exception | None]:
        """Call a function there and return what it returned and raised.

        Raises:
            EOFError, OSError: The process died.
        """
        self._pipe.send((function, args, kwargs))
        while isinstance(message := self._pipe.recv(), logging.LogRecord):
            logger = logging.getLogger(message.name)
            if logger.isEnabledFor(message.levelno):
                logger.handle(message)
        answer: tuple[Any, Exception | None] = message
        return answer

    def end(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.join()


class _PipeHandler(logging.Handler):
    """Send log records to the parent, and the answers, so that neither interrupts the other."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self._pipe = pipe
        self._pipe_lock = threading.Lock()

    def send(self, message: object) -> None:
        """Send an object of any kind."""
        with self._pipe_lock:
            self._pipe.send(message)

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record as text, since its arguments may not be picklable."""
        as_text = {"msg": self.format(record), "args": None, "exc_info": None, "exc_text": None}
        self.send(logging.makeLogRecord(vars(record) | as_text))


def _serve(pipe: Connection, log_level: int) -> None:
    """Answer calls until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to children too
    # Or data loaders would spawn their workers, too, seconds for each epoch.
    multiprocessing.set_start_method(None, force=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    handler = _PipeHandler(pipe)
    logger = logging.getLogger(_PACKAGE)
    logger.addHandler(handler)
    logger.setLevel(log_level)
    if hasattr(os, "register_at_fork"):  # the pipe is no data loader's to write to
        os.register_at_fork(after_in_child=lambda: logger.removeHandler(handler))
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
            error.add_note(traceback.format_exc())
        try:
            handler.send((value, error))
        except (AttributeError, TypeError, ValueError, PicklingError) as exc:
            handler.send((None, RuntimeError(f"{error or type(value)} cannot be sent back: {exc}")))


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, even if it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
