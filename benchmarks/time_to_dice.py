"""Dice on unseen cases after M minutes: ``unet-med train`` beside a plain hand-written loop.

Run: ``python benchmarks/datasets.py tumor SETS/tumor --templates FOLDER`` (or another kind), then
``python benchmarks/time_to_dice.py SETS/tumor --minutes 15 --threads 2``. SETS/tumor/train is
trained on, SETS/tumor/test is scored once, by volume Dice of whole cases. Minutes are wall time of
a fresh process from its start to weights on disk, for both.

The plain loop is what one writes in an afternoon: all slices in memory, standardized per volume and
channel, whole slices padded to one size, this project's network, random flips of both axes, affine
maps, brightness and contrast, cross-entropy plus Dice of MONAI, AdamW at 0.001 with a cosine over
the time, bfloat16 where the processor is faster so. It neither plans, resamples, averages weights
nor holds cases out.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.losses import DiceCELoss
from torch.nn import functional as F

from unet_med.api import load
from unet_med.backends.hardware import bf16_is_faster
from unet_med.cases import LabeledCase, find_training_cases
from unet_med.metrics import slice_counts, volume_dice
from unet_med.networks import UNet2D

BATCH_PIXELS = 460_000
"""Eight slices of 240 × 240."""


def main() -> int:
    """Train both ways and print a table; the plain loop is also a sub-command of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--base", type=int, default=32, help="channels of the plain loop")
    parser.add_argument("--only", choices=("ours", "plain"), help="leave the other out")
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)
    args, more = parser.parse_known_args()
    if args.plain is not None:
        train_plainly(args.folder / "train", args.plain, args)
        return 0
    print("| way | minutes | mean Dice | per label |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        if args.only != "plain":
            train_ours(Path(name, "bundle"), args, more)
        if args.only != "ours":
            weights = Path(name, "plain.pt")
            own = [__file__, str(args.folder), f"--minutes={args.minutes}"]
            own += [f"--threads={args.threads}", f"--base={args.base}", f"--plain={weights}"]
            minutes = timed(own)
            show("plain loop", minutes, score_plain(weights, args))
    return 0


def train_ours(bundle: Path, args: argparse.Namespace, more: list[str]) -> None:
    folders = [f"--{kind}={args.folder / 'train' / kind}" for kind in ("images", "labels")]
    command = ["-m", "unet_med", "train", *folders, f"--output={bundle}", *more]
    minutes = timed([*command, f"--minutes={args.minutes}", f"--threads={args.threads}"])
    show("unet-med train", minutes, score_bundle(bundle, args))


def timed(command: list[str]) -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, *command], check=True, stdout=sys.stderr)
    return (time.monotonic() - began) / 60


def show(way: str, minutes: float, scores: list[np.ndarray]) -> None:
    labels = ", ".join(f"{value:.3f}" for value in np.nanmean(scores, axis=0))
    mean = np.nanmean([np.nanmean(case) for case in scores])
    print(f"| {way} | {minutes:.1f} | {mean:.4f} | {labels} |", flush=True)


def cases_of(folder: Path) -> list[LabeledCase]:
    return list(find_training_cases(folder / "images", folder / "labels").cases)


def score(predicted: np.ndarray, case: LabeledCase, values: list[int]) -> np.ndarray:
    reference = np.asarray(nib.load(case.label).dataobj)
    return volume_dice(slice_counts(predicted, reference, labels=values))


def score_bundle(bundle: Path, args: argparse.Namespace) -> list[np.ndarray]:
    segmenter = load(bundle, threads=args.threads)
    values = sorted(segmenter.recipe.labels)
    results = []
    for case in cases_of(args.folder / "test"):
        source = [str(path) for path in case.images]
        labels = segmenter.segment(source if len(source) > 1 else source[0]).labels
        results.append(score(labels, case, values))
    return results


def read(case: LabeledCase) -> np.ndarray:
    """Return the channels as slices (n, C, i, j), each standardized over its volume."""
    channels = []
    for path in case.images:
        voxels = np.asarray(nib.load(path).dataobj, np.float32)
        channels.append((voxels - voxels.mean()) / voxels.std())
    return np.stack(channels).transpose(3, 0, 1, 2)


def padded(slices: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    return F.pad(slices, [0, columns - slices.shape[-1], 0, rows - slices.shape[-2]])


def varied(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Flip, turn and scale a batch; change brightness and contrast."""
    count = len(images)
    angle = (torch.rand(count) - 0.5) * math.radians(40)
    scale = torch.exp((torch.rand(count) - 0.5) * 0.4)
    flips = torch.randint(0, 2, (2, count)) * 2.0 - 1.0
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = scale * angle.cos() * flips[0], -scale * angle.sin()
    matrix[:, 1, 0], matrix[:, 1, 1] = scale * angle.sin(), scale * angle.cos() * flips[1]
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, align_corners=False)
    labels = F.grid_sample(labels.float(), grid, mode="nearest", align_corners=False)
    factor = torch.exp((torch.rand(count, images.shape[1], 1, 1) - 0.5) * 0.4)
    shift = (torch.rand(count, images.shape[1], 1, 1) - 0.5) * 0.4
    return images * factor + shift, labels.long()


def read_all(folder: Path) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Return all slices (n, C, H, W), their classes (n, 1, H, W) and the label values."""
    cases = cases_of(folder)
    scans = [torch.from_numpy(read(case)) for case in cases]
    maps = [np.asarray(nib.load(case.label).dataobj).astype(int) for case in cases]
    values = sorted({int(value) for array in maps for value in np.unique(array)} - {0})
    table = np.zeros(max(values) + 1, np.uint8)
    table[values] = np.arange(1, len(values) + 1)
    masks = [torch.from_numpy(table[array].transpose(2, 0, 1))[:, None] for array in maps]
    rows, columns = (max(-(-scan.shape[axis] // 16) * 16 for scan in scans) for axis in (2, 3))
    images = torch.cat([padded(scan, rows, columns) for scan in scans])
    return images, torch.cat([padded(mask, rows, columns) for mask in masks]), values


def train_plainly(folder: Path, target: Path, args: argparse.Namespace) -> None:
    began = time.monotonic() - 3.0  # about what the interpreter and the imports took
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    images, labels, values = read_all(folder)
    network = UNet2D(images.shape[1], len(values) + 1, sizes_of(args.base))
    network.to(memory_format=torch.channels_last)
    loss = DiceCELoss(to_onehot_y=True, softmax=True, batch=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    batch = max(2, BATCH_PIXELS // (images.shape[2] * images.shape[3]))
    seconds, steps = 60 * args.minutes - 2.0, 0
    while (done := (time.monotonic() - began) / seconds) < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * done))
        chosen = torch.randint(0, len(images), (batch,))
        inputs, wanted = varied(images[chosen], labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16_is_faster()):
            logits = network(inputs.contiguous(memory_format=torch.channels_last))
        loss(logits.float(), wanted).backward()
        optimizer.step()
        steps += 1
    torch.save(network.state_dict(), target)
    facts = {"values": values, "base": args.base, "steps": steps, "n_channels": images.shape[1]}
    target.with_suffix(".json").write_text(json.dumps(facts))
    print(f"plain loop: {steps} steps of {batch} slices of {tuple(images.shape[2:])}")


def sizes_of(base: int) -> tuple[int, ...]:
    return tuple(base * 2**level for level in range(4))


@torch.inference_mode()
def score_plain(weights: Path, args: argparse.Namespace) -> list[np.ndarray]:
    facts = json.loads(weights.with_suffix(".json").read_text())
    values = np.array([0, *facts["values"]])
    network = UNet2D(facts["n_channels"], len(values), sizes_of(facts["base"])).eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    torch.set_num_threads(args.threads)
    results = []
    for case in cases_of(args.folder / "test"):
        slices = torch.from_numpy(read(case))
        planes = [network(plane[None]).argmax(dim=1)[0].numpy() for plane in slices]
        labels = values[np.stack(planes)].transpose(1, 2, 0)
        results.append(score(labels, case, facts["values"]))
    return results


if __name__ == "__main__":
    raise SystemExit(main())
