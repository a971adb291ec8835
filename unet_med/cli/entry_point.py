"""The console script: start and end the process sooner than a library may."""

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
    code = main(standalone=True)
    if _has_no_background_work() and _flush_streams():
        atexit._run_exitfuncs()  # noqa: SLF001 - as multiprocessing ends its children
        os._exit(code)
    sys.exit(code)


def skip_unused_imports() -> None:
    """Skip imports of libraries that segmenting does not need; for the console script alone.

    nibabel tries pydicom for NIfTI extensions that hold DICOM, which masks do not copy; OpenVINO
    its converter, which exports alone need.
    """
    with hide_package("pydicom"):
        importlib.import_module("nibabel")
    sys.modules["openvino.tools.ovc"] = None  # type: ignore[assignment]  # how Python hides one


@contextmanager
def hide_package(package: str) -> Iterator[None]:
    """Let a package that is not loaded look as if it were not installed."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # how Python hides one
    try:
        yield
    finally:
        del sys.modules[package]


def _has_no_background_work() -> bool:
    """Tell whether no other thread or child process has anything to finish."""
    threads = [thread for thread in threading.enumerate() if not thread.daemon]
    processes = sys.modules.get("multiprocessing.process")
    return len(threads) == 1 and not (processes and processes.active_children())


def _flush_streams() -> bool:
    """Flush the standard streams; False if that failed, which Python then says at exit."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return False
    return True
