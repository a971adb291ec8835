"""A pool of processes: results, errors and log records come back, a death costs one call."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import CancelledError

import pytest

from unet_med._process_pool import ProcessPool, WorkerDiedError


def test_errors_come_back_and_deaths_are_said():
    pool = ProcessPool(1)
    assert pool.submit(divmod, 7, 2).result() == (3, 1)
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 7, 0).result()
    with pytest.raises(FileNotFoundError):
        pool.submit(os.stat, "/nowhere").result()
    with pytest.raises(RuntimeError, match="cannot be sent back"):
        pool.submit(threading.Lock).result()
    with pytest.raises(WorkerDiedError, match="out of memory"):
        pool.submit(os._exit, 3).result()
    assert pool.submit(divmod, 9, 2).result() == (4, 1)
    pool.shutdown()


def test_a_child_starts_processes_as_its_parent_does():
    with ProcessPool(1) as pool:
        found = pool.submit(multiprocessing.get_start_method).result()
    assert found == multiprocessing.get_start_method()


def die_once(path):
    """End the process of the first call, and say in which process the next one runs."""
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def test_a_call_is_tried_as_often_as_was_said(tmp_path):
    with ProcessPool(1) as pool:
        assert pool.submit(die_once, tmp_path / "twice").result() != os.getpid()
    with ProcessPool(1, attempts=1) as pool, pytest.raises(WorkerDiedError, match="out of memory"):
        pool.submit(die_once, tmp_path / "once").result()


def test_a_call_that_goes_on_ends_with_the_block():
    with ProcessPool(1) as pool:
        future = pool.submit(signal.pause)
    with pytest.raises((WorkerDiedError, CancelledError)):
        future.result()


def warn(text):
    logging.getLogger("unet_med.somewhere").warning("the %s", text)
    logging.getLogger("unet_med.somewhere").debug("not wanted")


def test_log_records_of_the_package_are_handled_here(messages_of):
    messages = messages_of("unet_med.somewhere")
    with ProcessPool(1) as pool:
        pool.submit(warn, "warning").result()
    assert messages == ["the warning"]


def start_process():
    process = multiprocessing.Process(target=os._exit, args=(5,))
    process.start()
    process.join()
    return process.exitcode


def test_calls_of_a_pool_that_is_no_daemon_start_processes():
    with ProcessPool(1, daemon=False) as pool:
        assert pool.submit(start_process).result() == 5
    with ProcessPool(1) as pool, pytest.raises(AssertionError, match="daemonic"):
        pool.submit(start_process).result()


def test_children_end_with_a_killed_parent():
    """The child inherits the pipe that the parent prints to, so its end is the child's end."""
    code = """
        import os, signal
        from unet_med._process_pool import ProcessPool
        if __name__ == "__main__":
            pool = ProcessPool(1)
            print(pool.submit(os.getpid).result(), flush=True)
            pool.submit(signal.pause)
            signal.pause()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    assert child != parent.pid
    parent.kill()
    assert not parent.stdout.read()  # returns when nobody holds the pipe any more
    parent.stdout.close()
    parent.wait()
