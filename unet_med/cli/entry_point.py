"""Run the command line as the process's only work: start and end it soon."""

from __future__ import annotations

import gc
import importlib
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from unet_med.cli.command_line import main

if TYPE_CHECKING:
    from collections.abc import Iterator


def run() -> NoReturn:
    """Run the command line and end the process.

    The interpreter would look through every object of every library once more at its end, which
    takes 0.2 s of processor time; frozen objects are passed over, and it takes 0.03 s.

    Example:
        >>> sys.argv = ["unet-med", "--version"]
        >>> try:
        ...     run()
        ... except SystemExit as end:
        ...     print(end.code)
        unet-med 0.1.0
        0
    """
    code = main(standalone=True)
    gc.freeze()
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
    """Let a package that is not loaded look as if it were not installed.

    Example:
        >>> with hide_package("this"):
        ...     import this
        Traceback (most recent call last):
        ModuleNotFoundError: import of this halted; None in sys.modules
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # how Python hides one
    try:
        yield
    finally:
        del sys.modules[package]
