"""Scan to mask on disk: this program beside MONAI's own transforms and SliceInferer.

Run: ``python benchmarks/engine.py --size 512x512 --slices 8 --threads 1``. A bundle with random
weights of the notebook's size is made and exported (int8 too if nncf is installed) in a temporary
folder, and an int16 ``.nii.gz`` of smooth noise. MONAI's side is LoadImaged, NormalizeIntensityd,
SliceInferer (256 × 256 windows, overlap 0.25, Gaussian, batch 4; and whole slices), argmax and
SaveImaged, with the same weights. Every way has its turn in every round, all models are loaded
before, and ratios are of medians of one run. "bare" is the network calls alone on as many slices.
``--ways "monai windows" "openvino bf16"`` runs these alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import torch
from measured import parse_size
from monai.inferers import SliceInferer
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    NormalizeIntensityd,
    SaveImaged,
)

from unet_med.backends.hardware import processor_name
from unet_med.backends.torch_backend import build_network
from unet_med.bundle import open_bundle
from unet_med.bundle.weights import load_weights, save_weights
from unet_med.errors import InputError
from unet_med.exporting import ExportSettings, export_bundle
from unet_med.exporting.samples import Scan
from unet_med.inference.pipeline import default_batch_size
from unet_med.networks import UNet2D
from unet_med.preprocessing import Normalization
from unet_med.recipe import Channel, NetworkRecipe, Recipe
from unet_med.segmenter import load_segmenter

if TYPE_CHECKING:
    from collections.abc import Callable

BASELINE, WHOLE = "monai windows", "monai whole"


def make_bundle(root: Path, sizes: tuple[int, ...], n_classes: int) -> Path:
    torch.manual_seed(0)
    digest = save_weights(UNet2D(1, n_classes, sizes).eval(), root / "models" / "model.pt")
    recipe = Recipe(
        "engine",
        NetworkRecipe(1, n_classes, sizes),
        (Channel("noise", "CT", Normalization("zscore", "all", -20.0, 20.0)),),
        {value: f"label {value}" for value in range(1, n_classes)},
    )
    replace(recipe, weights_sha256=digest).save(root / "configs" / "recipe.json")
    return root


def make_scan(path: Path, shape: tuple[int, int, int]) -> Path:
    rng = np.random.default_rng(0)
    coarse = rng.normal(0, 300, (shape[0] // 8 + 1, shape[1] // 8 + 1, shape[2]))
    voxels = np.kron(coarse, np.ones((8, 8, 1)))[: shape[0], : shape[1]]
    voxels += rng.normal(0, 30, shape)
    nib.save(nib.Nifti1Image(voxels.astype(np.int16), np.diag([-0.7, -0.7, 3.0, 1])), path)
    return path


def monai_run(
    bundle: Path, scan: Path, output: Path, *, size: tuple[int, int]
) -> Callable[[], None]:
    opened = open_bundle(bundle)
    network = build_network(opened.recipe)
    load_weights(network, opened.weights_path)
    network.eval()
    load = Compose(
        [LoadImaged("image"), EnsureChannelFirstd("image"), NormalizeIntensityd("image")]
    )
    save = SaveImaged(
        "mask", output_dir=output, output_dtype=np.uint8, separate_folder=False, print_log=False
    )
    inferer = SliceInferer(
        roi_size=size, spatial_dim=2, sw_batch_size=4, overlap=0.25, mode="gaussian"
    )

    def run() -> None:
        with torch.inference_mode():
            data = load({"image": scan})
            logits = inferer(data["image"][None], network)
            data["mask"] = logits[0].argmax(0, keepdim=True).to(torch.uint8)
            save(data)

    return run


def ours(
    bundle: Path, scan: Path, output: Path, *, backend: str, precision: str, threads: int
) -> dict[str, Callable[[], object]]:
    segmenter = load_segmenter(bundle, backend=backend, precision=precision, threads=threads)
    shape = nib.load(scan).shape
    batch = default_batch_size(shape[:2], segmenter.recipe.window)  # the run's own
    slices = np.random.default_rng(0).standard_normal((batch, 1, *shape[:2]), np.float32)
    starts = range(0, shape[2], batch)
    name = f"{backend} {precision}"
    target = output / f"{name.replace(' ', '_')}.nii.gz"
    return {
        name: lambda: segmenter.segment(scan).save(target),
        f"{name}, bare": lambda: [segmenter.predictor(slices[: shape[2] - n]) for n in starts],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=parse_size, default=(512, 512))
    parser.add_argument("--slices", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--sizes", default="64,128,256,512")
    parser.add_argument("--ways", nargs="+", metavar="WAY", help="as the table names them")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(Path(folder), args)
    height, width = args.size
    print(f"{processor_name()}, {args.threads} threads, {height}x{width}x{args.slices}")
    typical = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"{'way':24}{'s/slice':>9}{'x windows':>11}{'x whole':>9}")
    for name, time_of in typical.items():
        ratios = (
            f"{typical[way] / time_of:{width}.1f}" if way in typical else f"{'':{width}}"
            for way, width in ((BASELINE, 11), (WHOLE, 9))
        )
        print(f"{name:24}{time_of / args.slices:9.3f}{''.join(ratios)}")


def measure(folder: Path, args: argparse.Namespace) -> dict[str, list[float]]:
    sizes = tuple(int(size) for size in args.sizes.split(","))
    bundle = make_bundle(folder / "bundle", sizes, args.classes)
    scan = make_scan(folder / "scan.nii.gz", (*args.size, args.slices))
    scans = (Scan((scan,)),) if importlib.util.find_spec("nncf") else ()
    settings = ExportSettings(
        calibration=scans, n_calibration=2, n_slices=1, threads=args.threads
    )  # fmt: skip
    export_bundle(open_bundle(bundle), settings)
    runs: dict[str, Callable[[], object]] = {
        BASELINE: monai_run(bundle, scan, folder, size=(256, 256)),
        WHOLE: monai_run(bundle, scan, folder, size=args.size),
    }
    ways = [("torch", "fp32"), ("openvino", "fp32"), ("openvino", "bf16")]
    for backend, precision in [*ways, *([("openvino", "int8")] if scans else [])]:
        try:
            runs |= ours(
                bundle, scan, folder, backend=backend, precision=precision, threads=args.threads
            )
        except InputError as exc:
            print(f"left out: {backend} {precision}: {exc}")
    if args.ways:
        runs = {name: run for name, run in runs.items() if name in args.ways}
        if missing := set(args.ways) - set(runs):
            sys.exit(f"no way {', '.join(sorted(missing))}")
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(args.rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
            taken = f"{name} took {seconds[name][-1]:.1f} s"
            print(f"round {number + 1} of {args.rounds}: {taken}", file=sys.stderr, flush=True)
    return seconds


if __name__ == "__main__":
    main()
