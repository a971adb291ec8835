"""Timing all ways in one run, in turns, so that a busy machine slows them alike."""

from __future__ import annotations

import gc
import time
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from unet_med.backends import available_threads
from unet_med.backends.processor import processor_name
from unet_med.bench.memory import peak_memory
from unet_med.bench.ways import BASELINE, Way, all_ways, open_way, why_not
from unet_med.bench.work import network_flop
from unet_med.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from unet_med.bundle import Bundle

MATRIX_SIDE = 1536
"""Side of the square matrices whose product gives the processor's peak."""

_MATRIX_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_GIGA = 1e9


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """What to run.

    Attributes:
        size: Rows and columns of a slice.
        n_slices: Slices per round.
        rounds: How often every way has its turn; the first, which warms up, comes on top.
        threads: CPU threads; ``None`` = the processors of this process.
        memory: Whether to measure memory, which takes a process per way.
    """

    size: tuple[int, int] = (512, 512)
    n_slices: int = 2
    rounds: int = 3
    threads: int | None = None
    memory: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if min(*self.size, self.n_slices, self.rounds, self.threads or 1) < 1:
            msg = "size, slices, rounds and threads must be at least 1"
            raise InputError(msg)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        way: Backend, precision and tiling.
        seconds_per_slice: Median over the rounds; ``None`` = could not be run.
        fastest: Of the rounds.
        gflop_per_second: Of the whole slice's work, so windows that overlap do not count twice.
        share_of_peak: The same against the matrix product in the same precision on the same
            threads; ``None`` for int8, in which none is taken.
        speedup: Against MONAI's windows, or MONAI's whole slices where there are no windows.
        peak_memory_bytes: Of a process of its own; 0 = not measured.
        reason: Why it could not be run.
    """

    way: Way
    seconds_per_slice: float | None = None
    fastest: float | None = None
    gflop_per_second: float | None = None
    share_of_peak: float | None = None
    speedup: float | None = None
    peak_memory_bytes: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BenchResult:
    """The table and what it was measured on."""

    processor: str
    threads: int
    size: tuple[int, int]
    n_slices: int
    rounds: int
    gflop_per_slice: float
    matrix_gflop_per_second: dict[str, float]
    rows: tuple[Row, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready content."""
        return asdict(self)


def run_bench(
    bundle: Bundle, settings: BenchSettings, *, say: Callable[[str], None] = lambda _: None
) -> BenchResult:
    """Time every way on the same random slices.

    Args:
        bundle: Gives the network; ways that it has no model for are listed with the reason.
        settings: What to run.
        say: Told what is being done.

    Returns:
        The table. Times depend on what else the machine does; ratios of one run less so.
    """
    threads = settings.threads or available_threads()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _run(bundle, settings, threads=threads, say=say)
    finally:
        torch.set_num_threads(before)


def _run(
    bundle: Bundle, settings: BenchSettings, *, threads: int, say: Callable[[str], None]
) -> BenchResult:
    height, width = settings.size
    shape = (settings.n_slices, bundle.recipe.network.in_channels, height, width)
    slices = np.random.default_rng(0).standard_normal(shape, np.float32)
    ways = all_ways(height, width)
    reasons = {way: why_not(way, bundle, threads=threads) for way in ways}
    usable = [way for way in ways if not reasons[way]]
    seconds, peaks = _time(usable, bundle, slices, settings=settings, threads=threads, say=say)
    memory = dict.fromkeys(ways, 0)
    if settings.memory:
        for way in usable:
            say(f"memory: {way.name}")
            memory[way] = peak_memory(way, bundle.root, slices, threads=threads)
    gflop = network_flop(bundle.recipe.network, height, width) / _GIGA
    baseline = median(seconds[BASELINE if BASELINE in seconds else usable[0]])
    rows = [
        _row(way, seconds[way], gflop=gflop, peak=peaks.get(way.precision), baseline=baseline)
        if way in seconds
        else Row(way, reason=reasons[way])
        for way in ways
    ]
    return BenchResult(
        processor=processor_name(),
        threads=threads,
        size=settings.size,
        n_slices=settings.n_slices,
        rounds=settings.rounds,
        gflop_per_slice=gflop,
        matrix_gflop_per_second=peaks,
        rows=tuple(replace(row, peak_memory_bytes=memory[row.way]) for row in rows),
    )


def _time(
    ways: list[Way],
    bundle: Bundle,
    slices: NDArray[np.float32],
    *,
    settings: BenchSettings,
    threads: int,
    say: Callable[[str], None],
) -> tuple[dict[Way, list[float]], dict[str, float]]:
    """Return seconds per slice of each round, and the peak of each matrix product."""
    runners = {way: open_way(way, bundle, threads=threads) for way in ways}
    for way, runner in runners.items():
        say(f"warming up: {way.name}")
        # OpenVINO compiles for the number of slices that a call brings.
        runner(slices if way.backend == "openvino" else slices[:1])
    seconds: dict[Way, list[float]] = {way: [] for way in ways}
    products: dict[str, list[float]] = {name: [] for name in _MATRIX_DTYPES}
    for number in range(settings.rounds):
        say(f"round {number + 1} of {settings.rounds}")
        for name, dtype in _MATRIX_DTYPES.items():
            products[name].append(_matrix_speed(dtype))
        for way, runner in runners.items():
            gc.collect()
            start = time.perf_counter()
            runner(slices)
            seconds[way].append((time.perf_counter() - start) / len(slices))
    return seconds, {name: max(speeds) for name, speeds in products.items()}


def _matrix_speed(dtype: torch.dtype) -> float:
    """Return GFLOP/s of one product, the better of two."""
    matrix = torch.ones(MATRIX_SIDE, MATRIX_SIDE, dtype=dtype)
    best = np.inf
    for _ in range(2):
        start = time.perf_counter()
        torch.mm(matrix, matrix)
        best = min(best, time.perf_counter() - start)
    return float(2 * MATRIX_SIDE**3 / best / _GIGA)


def _row(
    way: Way, seconds: list[float], *, gflop: float, peak: float | None, baseline: float
) -> Row:
    typical = median(seconds)
    return Row(
        way,
        seconds_per_slice=typical,
        fastest=min(seconds),
        gflop_per_second=gflop / typical,
        share_of_peak=gflop / typical / peak if peak else None,
        speedup=baseline / typical,
    )
