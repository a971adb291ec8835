"""A training step of this program beside a bare loop: forward, loss, backward, update.

Run: ``python benchmarks/train_step.py --threads 2``. Two networks over 240 × 240 slices of two
channels and five classes: channels (16, 32, 64, 128), and what ``unet-med plan`` chooses for
15 minutes here. Scans are made of smooth noise. The program's steps are those of the bundle's own
train.yaml under MONAI's trainer, with batches drawn, cut and varied, the Dice and cross-entropy
loss, learning rate, AdamW, weight averaging and all handlers. The bare loop takes one ready
batch, cross-entropy and the same AdamW. Both take turns step by step, so that a busy machine
slows them alike; medians are compared. "data" is what the trainer waits for a batch.
"""

from __future__ import annotations

import argparse
import copy
import logging
import statistics
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from scipy import ndimage
from torch.nn import functional as F

from unet_med.api import plan as make_plan
from unet_med.backends.hardware import processor_name
from unet_med.training.bundle_files import write_bundle
from unet_med.training.engine.optimization import build_optimizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ignite.engine import Engine

    from unet_med.training import TrainingPlan

SHAPE = (240, 240, 24)
N_CLASSES = 5
UNTIMED = 2


def write_scans(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for case in range(count):
        field = ndimage.gaussian_filter(rng.normal(size=SHAPE), (12, 12, 3))
        ranks = np.searchsorted(np.quantile(field, [0.7, 0.8, 0.9, 0.97]), field)
        affine = np.diag([1.0, 1.0, 3.0, 1.0])
        for channel in range(2):
            noise = rng.normal(0, 40, SHAPE)
            image = (200 + 80 * ranks * (channel + 1) + noise).astype(np.int16)
            save(image, affine, folder / "images" / f"case{case}_{channel:04d}.nii.gz")
        save(ranks.astype(np.uint8), affine, folder / "labels" / f"case{case}.nii.gz")


def save(array: np.ndarray, affine: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


class Stopwatch:
    """Times the trainer's steps and its waits for data, and runs a bare step after each."""

    def __init__(self, trainer: Engine, bare: Callable[[], None]) -> None:
        self.bare_step = bare
        self.data: list[float] = []
        self.steps: list[float] = []
        self.bare: list[float] = []
        self.mark = time.perf_counter()
        trainer.add_event_handler(Events.GET_BATCH_STARTED, self.start)
        trainer.add_event_handler(Events.GET_BATCH_COMPLETED, self.got)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self.done)

    def start(self, _engine: Engine) -> None:
        """Take the time before a batch is fetched."""
        self.mark = time.perf_counter()

    def got(self, _engine: Engine) -> None:
        """Take the wait for the batch."""
        self.data.append(time.perf_counter() - self.mark)

    def done(self, _engine: Engine) -> None:
        """Take the step, and run a bare one."""
        self.steps.append(time.perf_counter() - self.mark)
        began = time.perf_counter()
        self.bare_step()
        self.bare.append(time.perf_counter() - began)


def bare_loop(
    network: torch.nn.Module, plan: TrainingPlan, batch: dict[str, torch.Tensor]
) -> Callable[[], None]:
    """Return a step on a copy of the network with one ready batch."""
    trial = copy.deepcopy(network).train()
    mover = build_optimizer(plan.optimizer, trial)
    images = batch["image"].contiguous(memory_format=torch.channels_last)
    target = batch["label"].long().clamp(max=N_CLASSES - 1)

    def step() -> None:
        mover.zero_grad(set_to_none=True)
        F.cross_entropy(trial(images), target).backward()
        mover.step()

    return step


def measure(folder: Path, sizes: tuple[int, ...] | None, args: argparse.Namespace) -> str:
    planned = make_plan(
        folder / "images",
        folder / "labels",
        sizes=sizes,
        minutes=15,
        threads=args.threads,
        val_fraction=0,
    )
    plan = replace(planned.plan, minutes=None, steps=args.steps + UNTIMED)
    root = folder / f"bundle{sizes or ''}"
    write_bundle(root, planned.recipe, plan)
    work = ConfigWorkflow(
        config_file=str(root / "configs/train.yaml"),
        meta_file=str(root / "configs/metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(root),
        precision="fp32",
    )
    work.initialize()
    network = work.parser.get_parsed_content("placed_network")
    batch = work.parser.get_parsed_content("train#dataset")[0]
    watch = Stopwatch(work.trainer, bare_loop(network, plan, batch))
    work.trainer.run()
    step, bare, data = (
        statistics.median(times[UNTIMED:]) for times in (watch.steps, watch.bare, watch.data)
    )
    what = ", ".join(map(str, planned.recipe.network.sizes))
    rows, columns = plan.patch_size
    return (
        f"| ({what}), {plan.batch_size} × {rows} × {columns} | {bare:.3f} | {step:.3f} | "
        f"{step / bare:.3f} | {100 * data / step:.1f} % |"
    )


def main() -> int:
    """Measure both networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=15, help="timed steps of each")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore", message="parsing config_file")
    print(f"{processor_name()}, {args.threads} threads, torch {torch.__version__}, fp32")
    print("| network, batch | bare step (s) | step (s) | ratio | data |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scans(folder, 3)
        for sizes in ((16, 32, 64, 128), None):
            print(measure(folder, sizes, args), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
