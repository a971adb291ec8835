"""Evaluate two folders of many small cases, as the command line does: seconds, memory, sizes.

    python benchmarks/many_cases.py --cases 200 --shape 64 64 24

Makes the cases in a temporary folder, then runs ``unet-med evaluate`` on them in a process of its
own: with everything, without the report, and with counts alone. Prints clock and processor seconds,
the largest resident memory and the sizes of what was written.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])
WAYS = {
    "all scores, report with scans": ["--images"],
    "all scores, report": [],
    "all scores, no report": ["--no-report"],
    "counts, no report": ["--no-report", "--metrics", "counts"],
}


def ball(shape: tuple[int, ...], center: np.ndarray, radius: float) -> np.ndarray:
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    return sum((axis - at) ** 2 for axis, at in zip(axes, center, strict=True)) < radius**2


def write_cases(root: Path, n_cases: int, shape: tuple[int, ...]) -> None:
    """Write two labels per case; the prediction lies a little beside the reference."""
    rng = np.random.default_rng(0)
    for number in range(n_cases):
        center = rng.uniform(-0.2, 0.2, 3)
        masks = []
        for shift in (rng.uniform(-0.06, 0.06, 3), np.zeros(3)):
            mask = ball(shape, center + shift, 0.6).astype(np.uint8)
            mask[ball(shape, center + shift + 0.1, 0.3)] = 2
            masks.append(mask)
        scan = (masks[1] * 200 + rng.normal(100, 40, shape)).astype(np.int16)
        for side, array in (("p", masks[0]), ("r", masks[1]), ("i", scan)):
            path = root / side / f"case_{number:04d}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(array, AFFINE), path)


def run(root: Path, options: list[str], jobs: int) -> str:
    """Run the command and describe what it took."""
    output = root / "out"
    more = ["--images", str(root / "i")] if options == ["--images"] else options
    command = [sys.executable, "-m", "unet_med", "evaluate", "--jobs", str(jobs)]
    command += ["--predictions", root / "p", "--references", root / "r", "--output", output, *more]
    start = time.perf_counter()
    with subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    clock = time.perf_counter() - start
    if process.returncode != 0:
        sys.exit(f"the command ended with {process.returncode}")
    page = output / "report.html"
    size = f", report.html {page.stat().st_size / 1e6:.1f} MB" if page.exists() else ""
    processor = used.ru_utime + used.ru_stime
    memory = used.ru_maxrss / 1024  # kilobytes on Linux
    page.unlink(missing_ok=True)
    return f"{clock:6.1f} s clock, {processor:6.1f} s processor, {memory:5.0f} MB{size}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--shape", type=int, nargs=3, default=(64, 64, 24))
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_cases(root, args.cases, tuple(args.shape))
        for name, options in WAYS.items():
            print(f"{name:32s} {run(root, options, args.jobs)}", flush=True)


if __name__ == "__main__":
    main()
