"""The one place that imports OpenVINO and NNCF, with their telemetry off."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from typing import Any

from unet_med._optional import require
from unet_med.errors import MissingExtraError


def is_installed() -> bool:
    """Tell whether OpenVINO can be imported, without importing it."""
    return importlib.util.find_spec("openvino") is not None


def load_openvino() -> Any:  # noqa: ANN401 - the package has no type information
    """Import OpenVINO.

    Raises:
        MissingExtraError: It is not installed, or does not load on this machine.
    """
    _switch_telemetry_off()
    try:
        import openvino
    except ImportError as exc:
        msg = (
            f"backend openvino cannot be used ({' '.join(str(exc).split())}): "
            "run pip install openvino, or use --backend torch"
        )
        raise MissingExtraError(msg) from exc
    return openvino


@cache
def openvino_core() -> Any:  # noqa: ANN401 - the package has no type information
    """Return the one ``openvino.Core`` of this process.

    It is never given up: the CPU plug-in installs an alternate signal stack when it compiles a
    model and frees it with the core, so that a signal to a thread that still points there
    (Ctrl-C, SIGTERM) would crash the process instead of stopping it (seen with 2026.4).
    """
    return load_openvino().Core()


def load_nncf() -> Any:  # noqa: ANN401 - the package is loaded by name
    """Import NNCF, which quantizes.

    Raises:
        MissingExtraError: It is not installed.
    """
    _switch_telemetry_off()
    return require("nncf", extra="quantize")


def _switch_telemetry_off() -> None:
    """Hide the telemetry package, so that both fall back to a stub that does nothing.

    Otherwise the import alone looks up an analytics host and writes an id into the home folder.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # how Python hides one
