"""Slice-wise counts against MONAI's ``compute_dice`` slice by slice: seconds and memory.

Run: ``OMP_NUM_THREADS=1 python benchmarks/slice_dice.py``. Both sides get label maps of
512 × 512 × 64 voxels and 5 classes (4 labels and the background) and give one Dice per slice and
label; the printed ratio is MONAI's best time over ours, in seconds of the processor, which other
programs change less than those of the clock. MONAI gets one slice at a time: its one-hot masks of
a volume with ``--classes 25`` would take 8 GB. Memory is what NumPy and Python allocate beyond the
two masks, at the peak, in a run of its own.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
import tracemalloc
from typing import TYPE_CHECKING

import monai
import numpy as np
import torch
from monai.metrics import compute_dice

from unet_med.metrics import dice, slice_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def make_masks(shape: tuple[int, int, int], n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nested wavy tubes, and a shifted copy: (slices, rows, columns) uint8, labels from 0."""
    n, height, width = shape
    z, y, x = np.ogrid[:n, :height, :width]
    radius = np.hypot((y - height / 2) / height, (x - width / 2) / width) + 0.05 * np.sin(z / 5)
    limits = np.linspace(0, 0.4, n_classes)[1:]
    reference = sum((radius < limit).astype(np.uint8) for limit in limits)
    return np.roll(reference, (3, 5), (1, 2)), reference


def ours(prediction: np.ndarray, reference: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    counts = slice_counts(prediction, reference, labels=labels)
    return dice(counts.tp, counts.fp, counts.fn)


def monai_by_slice(prediction: torch.Tensor, reference: torch.Tensor, n_classes: int) -> np.ndarray:
    options = {"include_background": False, "num_classes": n_classes}
    rows = [
        compute_dice(p[None, None], r[None, None], **options)[0]
        for p, r in zip(prediction, reference, strict=True)
    ]
    return torch.stack(rows).numpy()


def best_seconds(function: Callable[[], object], repetitions: int) -> tuple[float, list[float]]:
    times = []
    for _ in range(repetitions):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times), times


def peak_mib(function: Callable[[], object]) -> float:
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(64, 512, 512), metavar="N")
    parser.add_argument("--classes", type=int, default=5, help="the background included")
    parser.add_argument("--repetitions", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    masks = make_masks(tuple(args.shape), args.classes)
    labels = range(1, args.classes)
    tensors = tuple(torch.from_numpy(mask) for mask in masks)
    # MONAI leaves a slice out whose reference is empty; everywhere else both must agree.
    theirs = monai_by_slice(*tensors, args.classes)
    known = ~np.isnan(theirs)
    np.testing.assert_allclose(ours(*masks, labels)[known], theirs[known], atol=1e-6)

    print(f"masks {tuple(args.shape)}, {args.classes} classes, {torch.get_num_threads()} threads")
    print(f"numpy {np.__version__}, monai {monai.__version__}, {platform.machine()}")
    print(f"load {os.getloadavg()[0]:.1f}")
    for dtype in (np.uint8, np.int64, np.float32):
        pair = tuple(mask.astype(dtype) for mask in masks)
        compare(pair, pair, labels=labels, repetitions=args.repetitions)
    gaps = np.arange(args.classes, dtype=np.uint8) * (250 // args.classes)
    mapped = tuple(gaps[mask] for mask in masks)
    compare(masks, mapped, labels=gaps[1:].tolist(), repetitions=args.repetitions)


def compare(masks: tuple, ours_on: tuple, *, labels: Sequence[int], repetitions: int) -> None:
    """Time both on the same masks; MONAI knows no gaps in label values, so those only ours."""
    tensors = tuple(torch.from_numpy(mask) for mask in masks)

    def count() -> object:
        return ours(*ours_on, labels)

    slow, slow_all = best_seconds(lambda: monai_by_slice(*tensors, len(labels) + 1), repetitions)
    fast, fast_all = best_seconds(count, repetitions)
    print(f"{masks[0].dtype}, labels {labels[0]} to {labels[-1]}: ratio {slow / fast:.1f}")
    print(f"  MONAI compute_dice by slice {slow:.4f} s  {[round(t, 4) for t in slow_all]}")
    print(f"  slice_counts                {fast:.4f} s  {[round(t, 4) for t in fast_all]}")
    slice_mib = ours_on[0][0].nbytes / 2**20
    print(f"  peak memory {peak_mib(count):.2f} MiB; one slice of one mask {slice_mib:.2f} MiB")


if __name__ == "__main__":
    main()
