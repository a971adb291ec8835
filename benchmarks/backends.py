"""The network calls of every backend and precision on this machine, MONAI beside them.

Run: ``python benchmarks/backends.py --size 512x512 [--bundle DIR] [--slices 2] [--rounds 3]
[--threads N] [--no-memory] [--json]``. Whole slices and 256 × 256 windows (overlap 0.25, Gaussian)
through each backend and precision that the bundle has models for, beside MONAI's SliceInferer with
the same network. All are run in every round, so that their ratios hold on a busy machine. "of peak"
is against the matrix product in the same precision on the same threads. Memory is the peak of a
process of its own for each, libraries and weights included. ``engine.py`` times scan to mask.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from measured import parse_size

from unet_med.backends import available_threads
from unet_med.backends.hardware import processor_name
from unet_med.errors import BundleError, InputError, MissingExtraError
from unet_med.geometry import Geometry
from unet_med.inference import SlicePipeline
from unet_med.inference.pipeline import default_batch_size
from unet_med.recipe.sliding_window import SlidingWindow
from unet_med.segmenter import load_segmenter, resolve_segmenter

if TYPE_CHECKING:
    from collections.abc import Callable

    from unet_med.recipe import Recipe

    Slices = np.ndarray
    Runner = Callable[[Slices], Slices]

# torch is imported where it is needed: the processes that measure OpenVINO's memory do without.

WINDOW = SlidingWindow(size=(256, 256), overlap=0.25, max_pixels=0, mode="gaussian")
MONAI_BATCH = 4
MATRIX_SIDE = 1536
PRECISIONS = {"monai": ("fp32",), "torch": ("fp32", "bf16"), "openvino": ("fp32", "bf16", "int8")}
COLUMNS = ("", "ms/slice", "fastest", "GFLOP/s", "of peak", "speed-up", "memory MB")


@dataclass(frozen=True)
class Variant:
    """A backend (or ``monai``), a precision, and ``whole`` slices or ``windows``."""

    backend: str
    precision: str
    tiling: str

    def __str__(self) -> str:
        return f"{self.backend} {self.precision} {self.tiling}"


def variants_for(height: int, width: int) -> list[Variant]:
    """Return all; windows, the baseline, come first if a slice has more than one."""
    larger = height > WINDOW.size[0] or width > WINDOW.size[1]
    return [
        Variant(backend, precision, tiling)
        for backend, precisions in PRECISIONS.items()
        for precision in precisions
        for tiling in (("windows", "whole") if larger else ("whole",))
    ]


def open_variant(variant: Variant, bundle: Path | None, size: tuple[int, int], *, threads: int):  # noqa: ANN201
    """Load the network; return a function of slices (N, C, H, W) to logits (N, K, H, W)."""
    if variant.backend == "monai":
        roi = WINDOW.size if variant.tiling == "windows" else size
        return monai_runner(resolve_segmenter(bundle).recipe, roi)
    segmenter = load_segmenter(
        bundle, backend=variant.backend, precision=variant.precision, device="cpu", threads=threads
    )
    height, width = size
    pipeline = SlicePipeline.for_scan(
        replace(segmenter.recipe, slice_axis="axial", in_plane_spacing_mm=None, tta=()),
        Geometry((width, height, 1), np.eye(4)),
    )
    window = WINDOW if variant.tiling == "windows" else SlidingWindow(max_pixels=height * width)
    batch_size = default_batch_size(size, window)
    pipeline = replace(pipeline, window=window, batch_size=batch_size)
    n_slices = pipeline.slices_per_step

    def run(slices: Slices) -> Slices:
        parts = (slices[n : n + n_slices] for n in range(0, len(slices), n_slices))
        return np.concatenate([pipeline.run_network(part, segmenter.predictor) for part in parts])

    return run


def monai_runner(recipe: Recipe, roi: tuple[int, int]) -> Runner:
    """MONAI's SliceInferer, the network as torch has it: eager, channels first, random weights."""
    import torch
    from monai.inferers import SliceInferer

    from unet_med.backends.torch_backend import build_network

    network = build_network(recipe).eval()
    inferer = SliceInferer(
        roi_size=roi, spatial_dim=2, sw_batch_size=MONAI_BATCH,
        overlap=WINDOW.overlap, mode=WINDOW.mode,
    )  # fmt: skip

    def run(slices: Slices) -> Slices:
        volume = torch.from_numpy(np.moveaxis(slices, 0, -1).copy())[None]  # (1, C, H, W, n)
        with torch.inference_mode():
            return np.moveaxis(inferer(volume, network)[0].numpy(), -1, 0)

    return run


def network_flop(recipe: Recipe, height: int, width: int) -> int:
    """Return the operations of a slice's convolutions, as torch's flop counter has them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from unet_med.backends.torch_backend import build_network

    slices = torch.zeros(1, recipe.network.in_channels, height, width, device="meta")
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        build_network(recipe).eval().to("meta")(slices)
    return counter.get_total_flops()


def matrix_speed(precision: str) -> float:
    """Return GFLOP/s of one product of square matrices, the better of two."""
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    matrix = torch.ones(MATRIX_SIDE, MATRIX_SIDE, dtype=dtype)
    taken = [seconds_of(partial(torch.mm, matrix, matrix)) for _ in range(2)]
    return 2 * MATRIX_SIDE**3 / min(taken) / 1e9


def seconds_of(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def peak_memory(variant: Variant, bundle: Path | None, slices: Slices, *, threads: int) -> int:
    """Return the peak resident bytes of a fresh process that runs the slices once."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(run_once, variant, bundle, slices, threads).result()


def run_once(variant: Variant, bundle: Path | None, slices: Slices, threads: int) -> int:
    if variant.backend != "openvino":
        import torch

        torch.set_num_threads(threads)
    open_variant(variant, bundle, slices.shape[-2:], threads=threads)(slices)
    status = Path("/proc/self/status")  # not ru_maxrss, which starts with that of the parent
    if not status.is_file():
        return 0
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) << 10


def measure(args: argparse.Namespace) -> dict[str, object]:
    import torch

    torch.set_num_threads(args.threads)
    recipe = resolve_segmenter(args.bundle).recipe
    shape = (args.slices, recipe.network.in_channels, *args.size)
    slices = np.random.default_rng(0).standard_normal(shape, np.float32)
    runners, reasons = {}, {}
    for variant in variants_for(*args.size):
        try:
            runners[variant] = open_variant(variant, args.bundle, args.size, threads=args.threads)
        except (BundleError, MissingExtraError, InputError) as exc:
            reasons[variant] = str(exc)
            continue
        print(f"warming up: {variant}", file=sys.stderr, flush=True)
        runners[variant](slices)
    seconds: dict[Variant, list[float]] = {variant: [] for variant in runners}
    peaks: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for number in range(args.rounds):
        print(f"round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)
        for precision, speeds in peaks.items():
            speeds.append(matrix_speed(precision))
        for variant, runner in runners.items():
            gc.collect()
            seconds[variant].append(seconds_of(partial(runner, slices)) / len(slices))
    gflop = network_flop(recipe, *args.size) / 1e9
    baseline = statistics.median(next(iter(seconds.values())))
    rows = []
    for variant, times in seconds.items():
        typical = statistics.median(times)
        peak = max(peaks.get(variant.precision, [0.0]))
        memory = None
        if not args.no_memory:
            memory = peak_memory(variant, args.bundle, slices, threads=args.threads)
        rows.append(
            {
                **asdict(variant),
                "seconds_per_slice": typical,
                "fastest": min(times),
                "gflop_per_second": gflop / typical,
                "share_of_peak": gflop / typical / peak if peak else None,
                "speedup": baseline / typical,
                "peak_memory_bytes": memory,
            }
        )
    return {
        "processor": processor_name(),
        "threads": args.threads,
        "size": list(args.size),
        "n_slices": args.slices,
        "rounds": args.rounds,
        "gflop_per_slice": gflop,
        "matrix_gflop_per_second": {name: max(speeds) for name, speeds in peaks.items()},
        "rows": rows,
        "left_out": {str(variant): reason for variant, reason in reasons.items()},
    }


def print_table(result: dict) -> None:
    peaks = ", ".join(f"{k} {v:.0f}" for k, v in result["matrix_gflop_per_second"].items())
    print(f"{result['processor']}, {result['threads']} threads, {result['size']}")
    print(f"{result['gflop_per_slice']:.1f} GFLOP a slice; matrix product, GFLOP/s: {peaks}")
    table = [COLUMNS]
    for row in result["rows"]:
        share, memory = row["share_of_peak"], row["peak_memory_bytes"]
        table.append(
            (
                f"{row['backend']} {row['precision']} {row['tiling']}",
                f"{row['seconds_per_slice'] * 1e3:.1f}",
                f"{row['fastest'] * 1e3:.1f}",
                f"{row['gflop_per_second']:.0f}",
                "-" if share is None else f"{share:.2f}",
                f"{row['speedup']:.1f}x",
                f"{memory / (1 << 20):.0f}" if memory else "-",
            )
        )
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for first, *cells in table:
        numbers = [cell.rjust(wide) for cell, wide in zip(cells, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *numbers]))
    for name, reason in result["left_out"].items():
        print(f"{name}: {reason}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="default: the one shipped")
    parser.add_argument("--size", type=parse_size, default=(512, 512), metavar="HxW")
    parser.add_argument("--slices", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument("--no-memory", action="store_true", help="leave the memory column out")
    parser.add_argument("--json", action="store_true", help="print JSON, nothing else")
    args = parser.parse_args()
    result = measure(args)
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        print_table(result)


if __name__ == "__main__":
    main()
