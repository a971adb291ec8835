"""Peak resident memory of ``unet-med segment``: by slices, by classes, and by windows.

Run: ``python benchmarks/memory.py [--slices 100 400 1600] [--side 512] [--classes 4 25]
[--windowed 2048 600] [--backend auto] [--precision auto] [--folder DIR]``. Each case is a process
of its own, as a user starts it; its peak is what the kernel says when it ends (Linux). Scans are
made first, plane by plane, and removed afterwards: uncompressed, ``--windowed`` takes
2 · side² · slices bytes of ``--folder``. Cases by classes need a bundle of their own: the shipped
recipe with as many labels and random weights; they run on torch, unless ``--export`` has it
exported. Shrink everything with ``--slices 10 20 --side 128 --windowed 256 10``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unet_med.bundle import default_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAKE_BUNDLE = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from unet_med.networks import UNet2D
from unet_med.recipe import Recipe
from unet_med.bundle.weights import save_weights
source, target, classes = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
recipe = Recipe.load(source / "configs" / "recipe.json")
network = replace(recipe.network, out_channels=classes)
torch.manual_seed(0)
model = UNet2D(network.in_channels, classes, network.sizes)
labels = {value: f"label {value}" for value in range(1, classes)}
digest = save_weights(model, target / "models" / "model.pt")
changed = replace(recipe, network=network, labels=labels, precisions=(), weights_sha256=digest)
changed.save(target / "configs" / "recipe.json")
"""
"""Runs in a process of its own, so that torch is no part of this one, from which others start."""


def write_scan(path: Path, *, side: int, slices: int, dtype: str) -> None:
    """Write a .nii scan of waves in a disc, 1 × 1 × 1 mm, one plane in memory at a time.

    Not of noise: of noise random weights make masks of single pixels, as no anatomy is.
    """
    import nibabel as nib

    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape((side, side, slices))
    header.set_sform(np.eye(4), code=1)
    header["vox_offset"] = 352
    y, x = np.ogrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    disc = np.hypot(x, y) < 0.8
    with path.open("wb") as file:
        file.write(header.binaryblock + bytes(4))
        for index in range(slices):
            waves = np.sin(7 * x + index / 9) * np.cos(5 * y - index / 7)
            file.write(((600 + 300 * waves) * disc).astype(dtype).tobytes())


def peak_of(scan: Path, bundle: Path, options: Sequence[str]) -> tuple[float, float]:
    """Segment a scan and return the peak in GB and the seconds that passed."""
    mask = scan.with_name("mask") / "mask.nii.gz"
    words = [sys.executable, "-m", "unet_med", "segment", str(scan), "--output", str(mask)]
    began = time.perf_counter()
    command = [*words, "--bundle", str(bundle), "--overwrite", *options]
    silent = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=silent, stderr=silent)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"segment failed: {' '.join(command)}")
    # Linux counts in KiB; the figure includes this small process, from which the other starts.
    return usage.ru_maxrss * 1024 / 1e9, time.perf_counter() - began


def cases(args: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Path, tuple[int, int]]]:
    """Yield a case's name, its bundle and the side and slices of its scan."""
    for slices in args.slices:
        yield "slices", args.bundle, (args.side, slices)
    for classes in args.classes:
        bundle = folder / f"classes{classes}"
        words = [str(args.bundle), str(bundle), str(classes)]
        subprocess.run([sys.executable, "-c", MAKE_BUNDLE, *words], check=True)
        if args.export:
            export = [sys.executable, "-m", "unet_med", "export", "--bundle", str(bundle)]
            subprocess.run(export, check=True, stdout=subprocess.DEVNULL)
        yield f"{classes} classes", bundle, (args.side, min(args.slices))
    if args.windowed:
        yield "windowed", args.bundle, tuple(args.windowed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--slices", type=int, nargs="*", default=[100, 400, 1600])
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--classes", type=int, nargs="*", default=[4, 25])
    parser.add_argument("--windowed", type=int, nargs="*", default=[2048, 600])
    parser.add_argument("--export", action="store_true", help="export the bundles by classes")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--folder", type=Path, help="for the scans; default: a temporary one")
    args = parser.parse_args()
    if args.classes and not args.slices:
        parser.error("--classes takes the size of its scans from --slices")
    options = ["--backend", args.backend, "--precision", args.precision]
    print(f"{'case':<12}{'size':>18}{'scan GB':>9}{'peak GB':>9}{'s':>9}")
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        for case, bundle, (side, slices) in cases(args, Path(name)):
            scan = Path(name) / "scan.nii"
            write_scan(scan, side=side, slices=slices, dtype="u2")
            peak, seconds = peak_of(scan, bundle, options)
            size = f"{side}×{side}×{slices}"
            gigabytes = scan.stat().st_size / 1e9
            print(f"{case:<12}{size:>18}{gigabytes:>9.2f}{peak:>9.3f}{seconds:>9.1f}", flush=True)
            scan.unlink()


if __name__ == "__main__":
    main()
