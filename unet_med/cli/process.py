"""What a process of its own may do and a library may not: it starts and ends sooner."""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from unet_med.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator


def run() -> NoReturn:
    """Run the command line and end the process.

    Taking down every library takes longer than a tenth of a second and serves nobody: once all
    is written and no thread or child is left, the process just ends.
    """
    code = main(own_process=True)
    if _alone() and _flushed():
        atexit._run_exitfuncs()  # noqa: SLF001 - as multiprocessing ends its children
        os._exit(code)
    sys.exit(code)


def load_less() -> None:
    """Leave out what libraries load for others; for segmenting, in a process of its own.

    nibabel tries pydicom for NIfTI extensions that hold DICOM, which masks do not copy; OpenVINO
    its converter, which exports alone need.
    """
    with hidden("pydicom"):
        importlib.import_module("nibabel")
    sys.modules["openvino.tools.ovc"] = None  # type: ignore[assignment]  # how Python hides one


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """Let a package that is not loaded look as if it were not installed."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # how Python hides one
    try:
        yield
    finally:
        del sys.modules[package]


def _alone() -> bool:
    """Tell whether no other thread or child process has anything to finish."""
    threads = [thread for thread in threading.enumerate() if not thread.daemon]
    processes = sys.modules.get("multiprocessing.process")
    return len(threads) == 1 and not (processes and processes.active_children())


def _flushed() -> bool:
    """Flush the standard streams; False if that failed, which Python then says at exit."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return False
    return True
