"""The same training in one process and in two: both curves, and how far the ends differ.

Run: ``python benchmarks/processes.py --output docs/processes.png``. Three made scans of
240 × 240 × 24 with two channels and five classes (those of train_step.py) at 3 mm in plane,
channels (8, 16, 32), batches of 16 crops, one thread for each process. Two processes draw the
same crops and share every batch, but each normalizes its share by its own statistics, so the
curves agree only about; the loss of a round is the mean of its steps, and the end is the mean of
the last five rounds.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from train_step import write_scans

from unet_med.api import plan as make_plan
from unet_med.training.bundle_files import write_bundle

LAST_ROUNDS = 5
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node")
CONFIGS = ("configs/train.yaml", "configs/multi_gpu_train.yaml")


def train(bundle: Path, n_processes: int) -> list[dict[str, str]]:
    """Run a bundle's train.yaml and return its log."""
    launch = (*TORCHRUN, str(n_processes)) if n_processes > 1 else ()
    config = str(list(CONFIGS)) if n_processes > 1 else CONFIGS[0]
    command = ["-m", "monai.bundle", "run", "--config_file", config]
    subprocess.run(
        [sys.executable, "-W", "ignore", *launch, *command],
        cwd=bundle,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    with (bundle / "runs/train/log.csv").open() as stream:
        return list(csv.DictReader(stream))


def draw(logs: dict[int, list[dict[str, str]]], path: Path) -> None:
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for n_processes, rows in logs.items():
        name = f"{n_processes} process{'es' if n_processes > 1 else ''}"
        steps = [float(row["step"]) for row in rows]
        axes.plot(steps, [float(row["loss"]) for row in rows], "o-", markersize=3, label=name)
    axes.set_xlabel("step")
    axes.set_ylabel("loss (mean of a round)")
    axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--output", type=Path, help="picture of both curves")
    args = parser.parse_args()
    logs = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_scans(folder, 3)
        planned = make_plan(
            folder / "images",
            folder / "labels",
            steps=args.steps,
            threads=1,
            spacing_mm=3.0,
            sizes=(8, 16, 32),
            val_fraction=0.0,
        )
        assert planned.recipe is not None
        assert planned.plan is not None
        plan = replace(planned.plan, batch=16)
        print(f"crops of {plan.patch_size} pixels")
        for n_processes in (1, 2):
            bundle = folder / f"bundle{n_processes}"
            write_bundle(bundle, planned.recipe, plan)
            began = time.monotonic()
            logs[n_processes] = train(bundle, n_processes)
            taken = time.monotonic() - began
            end = np.mean([float(row["loss"]) for row in logs[n_processes][-LAST_ROUNDS:]])
            print(f"{n_processes}: loss at the end {end:.4f}, {taken:.0f} s")
    ends = [np.mean([float(r["loss"]) for r in rows[-LAST_ROUNDS:]]) for rows in logs.values()]
    print(f"difference {100 * (ends[1] / ends[0] - 1):+.2f} %")
    if args.output is not None:
        draw(logs, args.output)


if __name__ == "__main__":
    main()
