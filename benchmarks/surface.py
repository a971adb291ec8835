"""HD95, ASSD and surface Dice against MONAI's on the same masks: seconds and memory.

Run: ``OMP_NUM_THREADS=1 python benchmarks/surface.py --shape 512 512 300 --organs 5``. Both
sides get label maps of (i, j, k) voxels with anisotropic spacing and give the three scores per
organ. MONAI is asked organ by organ, as one must at this size: its one-hot float masks of six
classes would take 1.9 GB each. ``--with-rest`` adds what ours also gives in one evaluation:
counts, per-slice HD95 and components. The time of MONAI includes its crop to the organ.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
import warnings
from typing import TYPE_CHECKING

import monai
import numpy as np
import scipy
import torch
from monai.metrics import (
    compute_average_surface_distance,
    compute_hausdorff_distance,
    compute_surface_dice,
)

from unet_med.evaluation import score_volumes
from unet_med.metrics import label_boxes, surface_distances
from unet_med.volumes import from_array

if TYPE_CHECKING:
    from collections.abc import Callable

SPACING = (0.8, 0.8, 2.0)
TOLERANCE_MM = 1.0


def make_masks(shape: tuple[int, int, int], organs: int) -> tuple[np.ndarray, np.ndarray]:
    """Wavy ellipsoids along a diagonal, and a prediction that is off by voxels, uint8."""
    i, j, k = np.ogrid[: shape[0], : shape[1], : shape[2]]
    reference = np.zeros(shape, np.uint8)
    for organ in range(organs):
        at = (organ + 0.7) / (organs + 0.4)
        center = [size * (at if axis != 1 else 1 - at) for axis, size in enumerate(shape)]
        radius = [size * (0.5 + 0.1 * organ) / organs for size in shape]
        distance = sum(
            ((index - c) / r).astype(np.float32) ** 2
            for index, c, r in zip((i, j, k), center, radius, strict=True)
        )
        wave = 1 + 0.08 * np.sin(i / 7, dtype=np.float32) * np.cos(j / 9, dtype=np.float32)
        reference[distance < wave] = organ + 1
    prediction = np.roll(reference, (2, -1, 1), (0, 1, 2))
    prediction[: shape[0] // 2] = np.roll(prediction[: shape[0] // 2], 2, axis=1)
    return prediction, reference


def ours(prediction: np.ndarray, reference: np.ndarray, labels: range) -> np.ndarray:
    boxes = label_boxes(prediction, reference, labels=labels)
    rows = []
    for label in labels:
        masks = (mask[boxes[label]] == label for mask in (prediction, reference))
        found = surface_distances(*masks, voxel_to_world=np.diag([*SPACING, 1.0]))
        rows.append([found.hd95_mm, found.assd_mm, found.surface_dice(TOLERANCE_MM)])
    return np.array(rows)


def monai_by_organ(prediction: np.ndarray, reference: np.ndarray, labels: range) -> np.ndarray:
    rows = []
    for label in labels:
        one, other = (
            torch.from_numpy(mask == label)[None, None] for mask in (prediction, reference)
        )
        spacing = {"include_background": True, "spacing": SPACING}
        found = (
            compute_hausdorff_distance(one, other, percentile=95, **spacing),
            compute_average_surface_distance(one, other, symmetric=True, **spacing),
            compute_surface_dice(one, other, class_thresholds=[TOLERANCE_MM], **spacing),
        )
        rows.append([value.item() for value in found])
    return np.array(rows)


def timed(name: str, function: Callable[[], np.ndarray | None]) -> tuple[float, np.ndarray | None]:
    """Return seconds on the clock; the processor's tell how much others took."""
    start, worked = time.perf_counter(), time.process_time()
    result = function()
    seconds, busy = time.perf_counter() - start, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name:34} {seconds:8.2f} s, {busy:8.2f} s of processor, peak so far {peak:.2f} GiB")
    return busy, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(192, 192, 96), metavar="N")
    parser.add_argument("--organs", type=int, default=5)
    parser.add_argument("--with-rest", action="store_true", help="time a whole evaluation too")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*always_return_as_numpy")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    masks = make_masks(tuple(args.shape), args.organs)
    labels = range(1, args.organs + 1)
    print(f"masks {tuple(args.shape)}, {args.organs} organs, spacing {SPACING} mm")
    print(f"monai {monai.__version__}, scipy {scipy.__version__}, load {os.getloadavg()[0]:.1f}")

    fast, found = timed("ours", lambda: ours(*masks, labels))
    slow, theirs = timed("MONAI, organ by organ", lambda: monai_by_organ(*masks, labels))
    np.testing.assert_allclose(found, theirs, rtol=1e-4, atol=1e-4)
    print(f"the same scores; ratio of processor seconds {slow / fast:.1f}")
    if args.with_rest:
        volumes = [from_array(mask, np.diag([*SPACING, 1.0])) for mask in masks]
        timed("all scores of a case, ours", lambda: score_volumes(*volumes))


if __name__ == "__main__":
    main()
