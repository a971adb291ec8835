"""Whether masks are equal, voxels and header, whatever the settings that must not matter.

Run: ``python benchmarks/equal.py [--bundle DIR] [--scan FILE] [--slices N]
[--precisions fp32 bf16 int8] [--batches 1 8 32] [--threads 1 2] [--torch]``. On OpenVINO, for each
precision that the export has: every batch × threads, the mask written slab by slab and from memory,
the scan as .nii.gz and as .nii. One row per mask: the digest of the decoded file (header, extension
and voxels) and the voxels that differ from the first. ``--torch`` adds torch fp32, whose last bits
may change with batch and threads: equal at equal settings, and elsewhere few voxels changed.
Exit code 1 if OpenVINO's masks differ. ``--slices N`` takes the N middle slices alone.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
from measured import demo_scan, precisions_here

from unet_med.backends.hardware import processor_name
from unet_med.bundle import default_bundle
from unet_med.inference import pipeline
from unet_med.segmenter import load_segmenter
from unet_med.volumes.file_io import open_stream


def scans_of(source: Path, folder: Path, n_slices: int | None) -> list[Path]:
    """Write the scan, or its middle, compressed and not, as the same header and voxels."""
    image = nib.load(source)
    if n_slices is not None:
        first = max(0, (image.shape[2] - n_slices) // 2)
        image = image.slicer[:, :, first : first + n_slices]
    paths = [folder / "scan.nii.gz", folder / "scan.nii"]
    for path in paths:
        nib.save(image, path)
    return paths


def decoded(mask: Path) -> tuple[str, np.ndarray]:
    """Return the digest of a mask file as unpacked, and its voxels."""
    with open_stream(mask) as stream:
        digest = hashlib.sha256(stream.read()).hexdigest()
    return digest, np.asarray(nib.load(mask).dataobj)


def masks(args: argparse.Namespace, way: tuple[str, str], folder: Path) -> list[tuple[str, Path]]:
    """Write a mask for every setting, and return what it was made with."""
    backend, precision = way
    paths = scans_of(args.scan, folder, args.slices)
    pixels = int(np.prod(nib.load(paths[0]).shape[:2]))
    made = []
    for batch, threads, interface in product(args.batches, args.threads, ("streamed", "in memory")):
        pipeline.PIXELS_PER_BATCH = batch * pixels
        segmenter = load_segmenter(
            args.bundle, backend=backend, precision=precision, threads=threads, memory_gb=8
        )
        for scan in paths if interface == "streamed" else paths[:1]:
            name = f"batch {batch}, threads {threads}, {interface}, {scan.name}"
            mask = folder / f"{len(made)}.nii.gz"
            if interface == "streamed":
                segmenter.segment_to(scan, mask)
            else:
                segmenter.segment(scan).save(mask)
            made.append((name, mask))
    return made


def compare(args: argparse.Namespace, way: tuple[str, str]) -> int:
    """Print one row per mask, and return how many differ from the first."""
    with tempfile.TemporaryDirectory() as name:
        made = masks(args, way, Path(name))
        first_digests: dict[str, str] = {}
        reference, differing = None, 0
        for setting, path in made:
            digest, voxels = decoded(path)
            reference = voxels if reference is None else reference
            changed = int(np.count_nonzero(voxels != reference))
            # A mask says in its header which file it was made from, so .nii differs from .nii.gz.
            scan = setting.rpartition(" ")[2]
            same = digest == first_digests.setdefault(scan, digest) and not changed
            differing += not same
            print(f"{' '.join(way):<15}{setting:<50}{digest[:12]:>14}{changed:>10}", flush=True)
    print(f"{' '.join(way):<15}{differing} of {len(made)} differ from the first")
    return differing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--scan", type=Path, help="default: the demo scan")
    parser.add_argument("--slices", type=int)
    parser.add_argument("--precisions", nargs="+", help="default: all that the export has")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--torch", action="store_true")
    args = parser.parse_args()
    args.scan = args.scan or demo_scan()
    print(f"{processor_name()}, {args.scan.name}, {args.slices or 'all'} slices")
    differing = sum(
        compare(args, ("openvino", name))
        for name in args.precisions or precisions_here(args.bundle)
    )
    if args.torch:
        compare(args, ("torch", "fp32"))
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
