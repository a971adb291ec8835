"""Scan to mask beside nnU-Net's own 2D predictor, the same network and weights on both sides.

Run, where ``nnunetv2`` is installed (the package itself does not need it):
``python benchmarks/nnunet.py [--scan FILE] [--sizes 16,32,64,128] [--classes 4] [--threads 2]
[--rounds 2] [--slices N]``. The network has random weights, so speed is compared and nothing else.
nnU-Net gets plans whose patch holds a whole slice, as its planner makes them for scans of this
size, and keeps its defaults: steps of half a patch, Gaussian weights, mirroring on both axes unless
the row says otherwise; it runs in one process, reading, normalizing, predicting and writing. Ours
is scan to mask by ``segment_to``. Models are loaded before; all ways have their turn in every
round, and the first call of each is in it, so more rounds are fairer.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import statistics
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import torch
from engine import make_bundle
from measured import demo_scan, precisions_here

from unet_med.backends.hardware import processor_name
from unet_med.backends.torch_backend import build_network
from unet_med.bundle import open_bundle
from unet_med.bundle.weights import load_weights
from unet_med.exporting import ExportSettings, export_bundle
from unet_med.exporting.samples import Scan
from unet_med.segmenter import load_segmenter

if TYPE_CHECKING:
    from collections.abc import Callable

BOTH = "left-right,anterior-posterior"
RESAMPLING = "resample_data_or_seg_to_shape"


def plans_for(image: nib.Nifti1Image, multiple: int) -> dict[str, Any]:
    """Return nnU-Net's plans for a 2D configuration whose patch holds a whole axial slice."""
    columns, rows, n_slices = image.shape
    spacing = [float(size) for size in image.header.get_zooms()[:3]][::-1]
    patch = [-(-side // multiple) * multiple for side in (rows, columns)]
    kwargs = {"order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": "nnUNetPlans_2d",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 1,
        "patch_size": patch,
        "median_image_size_in_voxels": [float(rows), float(columns)],
        "spacing": spacing[1:],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": RESAMPLING,
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, **kwargs},
        "resampling_fn_seg": RESAMPLING,
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, **kwargs},
        "resampling_fn_probabilities": RESAMPLING,
        "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, **kwargs},
        "architecture": {"network_class_name": "", "arch_kwargs": {}, "_kw_requires_import": []},
        "batch_dice": True,
    }
    return {
        "dataset_name": "Dataset001_bench",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": spacing,
        "original_median_shape_after_transp": [n_slices, rows, columns],
        "image_reader_writer": "NibabelIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"2d": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {}},
    }


def nnunet_run(bundle: Path, scan: Path, output: Path, *, mirroring: bool) -> Callable[[], None]:
    """Return a run of nnU-Net's predictor on a scan, the network loaded."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    recipe = open_bundle(bundle).recipe
    network = build_network(recipe).eval()
    load_weights(network, bundle / "models" / "model.pt")
    labels = {"background": 0, **{name: value for value, name in recipe.labels.items()}}
    plans = PlansManager(plans_for(nib.load(scan), recipe.network.multiple))
    predictor = nnUNetPredictor(
        use_mirroring=mirroring, device=torch.device("cpu"), allow_tqdm=False
    )
    predictor.manual_initialization(
        network,
        plans,
        plans.get_configuration("2d"),
        [network.state_dict()],
        {"channel_names": {"0": "T1"}, "labels": labels, "file_ending": ".nii.gz"},
        "nnUNetTrainer",
        (0, 1),
    )
    output.mkdir()

    def run() -> None:
        predictor.predict_from_files_sequential([[str(scan)]], [str(output / "mask")])

    return run


def our_run(bundle: Path, scan: Path, output: Path, **options: Any) -> Callable[[], None]:  # noqa: ANN401
    """Return our run, the network loaded."""
    segmenter = load_segmenter(bundle, **options)
    return lambda: segmenter.segment_to(scan, output)


def prepare(args: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    """Write the scan, named as nnU-Net wants it, and a bundle with an export."""
    image = nib.load(args.scan)
    if args.slices:
        first = max(0, (image.shape[2] - args.slices) // 2)
        image = image.slicer[:, :, first : first + args.slices]
    scan = folder / "scan_0000.nii.gz"
    nib.save(image, scan)
    sizes = tuple(int(size) for size in args.sizes.split(","))
    bundle = make_bundle(folder / "bundle", sizes, args.classes)
    settings = ExportSettings(scans=(Scan((scan,)),), n_slices=1, threads=args.threads)
    export_bundle(open_bundle(bundle), settings)
    return bundle, scan


def measure(args: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    bundle, scan = prepare(args, folder)
    mask, threads, here = folder / "mask.nii.gz", args.threads, precisions_here(bundle)
    ways: dict[str, Callable[[], None]] = {}
    for words, mirroring, tta in (("mirrored", True, BOTH), ("not mirrored", False, "none")):
        ways[f"nnU-Net 2D, {words}"] = nnunet_run(
            bundle, scan, folder / f"nnunet {words}", mirroring=mirroring
        )
        for backend, precision in (("torch", "fp32"), *product(["openvino"], here)):
            ways[f"{backend} {precision}, {words}"] = our_run(
                bundle, scan, mask, backend=backend, precision=precision, threads=threads, tta=tta
            )
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(args.rounds):
        for name, run in ways.items():
            start = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                run()
            seconds[name].append(time.perf_counter() - start)
        print(f"round {number + 1} of {args.rounds}", flush=True)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scan", type=Path, help="axial slices last; default: the demo scan")
    parser.add_argument("--slices", type=int, help="only so many, from the middle")
    parser.add_argument("--sizes", default="16,32,64,128")
    parser.add_argument("--classes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    if importlib.util.find_spec("nnunetv2") is None:
        sys.exit("nnunetv2 is not installed: pip install nnunetv2")
    args.scan = args.scan or demo_scan()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(args, Path(folder))
    print(
        f"{processor_name()}, {args.threads} threads, {args.scan.name}, "
        f"{args.slices or 'all'} slices, medians of {args.rounds}"
    )
    print(f"{'way':<28}{'s':>8}{'nnU-Net takes':>16}")
    for name, times in seconds.items():
        theirs = statistics.median(seconds[f"nnU-Net 2D, {name.partition(', ')[2]}"])
        typical = statistics.median(times)
        print(f"{name:<28}{typical:>8.2f}{theirs / typical:>15.1f}x")


if __name__ == "__main__":
    main()
