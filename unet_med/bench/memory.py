"""The most memory that a process of its own needs for one way."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unet_med.bench.ways import Way

_KIB = 1024
_STATUS = Path("/proc/self/status")


def peak_memory(way: Way, bundle: Path, slices: NDArray[np.float32], *, threads: int) -> int:
    """Return the peak resident memory in bytes of a fresh process that runs the slices once.

    Libraries, weights and the slices themselves are included; torch only where it is needed.

    Args:
        way: How to run.
        bundle: The bundle's folder.
        slices: (N, C, H, W) float32.
        threads: CPU threads.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_run_once, way, bundle, slices, threads).result()


def _run_once(way: Way, bundle: Path, slices: NDArray[np.float32], threads: int) -> int:
    from unet_med.bench.ways import open_way
    from unet_med.bundle import open_bundle

    if way.backend != "openvino":  # which is to be measured without torch
        import torch

        torch.set_num_threads(threads)
    open_way(way, open_bundle(bundle), threads=threads)(slices)
    return _highest()


def _highest() -> int:
    if _STATUS.is_file():  # not ru_maxrss, which on Linux starts with that of the parent process
        lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * _KIB
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
