"""Two processes train as one; a dead one ends the run with a line and a usable checkpoint."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.bundles import make_plan, make_recipe, write_cases
from tests.training.events import points
from unet_med.training.bundle_files import write_bundle

ROOT = Path(__file__).parents[2]
CONFIGS = "['configs/train.yaml','configs/multi_gpu_train.yaml']"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
pytestmark = pytest.mark.slow  # two interpreters with torch and monai each time

HANGS_AFTER_S = 1800
"""Far beyond what the slowest laptop needs: a limit for what never ends."""

ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def bundle_run(folder, *, n_processes):
    launch = TORCHRUN if n_processes == 2 else ()
    config = CONFIGS if n_processes == 2 else "configs/train.yaml"
    command = ["-m", "monai.bundle", "run", "--config_file", config, "--freeze_batch_norm", "True"]
    command += ["--tensorboard", "True", "--precision", "fp32"]  # bfloat16 hides what is compared
    subprocess.run(
        [sys.executable, *launch, *command], cwd=folder, check=True, env=ENVIRONMENT,
        capture_output=True, timeout=HANGS_AFTER_S,
    )  # fmt: skip
    with (folder / "runs/train/log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return rows, torch.load(folder / "models/model.pt", weights_only=True)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return write_cases(tmp_path_factory.mktemp("data"), ["a", "b", "c"])


@pytest.mark.parametrize("deep", [False, True])
def test_two_processes_are_one(cases, tmp_path, deep):
    """20 steps, batch normalization frozen, ignored pixels that the shares hold unequally."""
    results = {}
    for n_processes in (1, 2):
        folder = tmp_path / str(n_processes)
        plan = make_plan(
            cases, steps=20, ignore_label=2, validation=("c",), ema_decay=0.9, deep_supervision=deep
        )
        recipe = make_recipe(labels={1: "fluid", 3: "white"}, network=make_network(out_channels=3))
        write_bundle(folder, recipe, plan)
        results[n_processes] = bundle_run(folder, n_processes=n_processes)
    (one, weights), (two, others) = results[1], results[2]
    assert len(one) == len(two) == 20
    for n_processes in (1, 2):  # the first process alone writes, each step once
        events = tmp_path / str(n_processes) / "runs/train/tensorboard"
        assert len(list(events.iterdir())) == 1
        assert [step for step, _ in points(events)["loss/step"]] == list(range(1, 21))
    for name in ("loss", "dice fluid"):
        ours, theirs = ([float(row[name] or "nan") for row in rows] for rows in (one, two))
        np.testing.assert_allclose(theirs, ours, rtol=1e-4 if name == "loss" else 2e-3)
    for key, tensor in weights.items():
        torch.testing.assert_close(others[key], tensor, rtol=1e-3, atol=2e-4)
    assert float(one[-1]["loss"]) < float(one[0]["loss"])


def make_network(**changes):
    from dataclasses import replace

    return replace(make_recipe().network, **changes)


def children_of(process):
    found = subprocess.run(
        ["pgrep", "-P", str(process.pid)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [int(pid) for pid in found.stdout.split()]


def test_a_dead_process_ends_the_run(cases, tmp_path):
    folder = tmp_path / "bundle"
    write_bundle(folder, make_recipe(), make_plan(cases, steps=4000))
    process = subprocess.Popen(
        [sys.executable, *TORCHRUN, "-m", "unet_med", "train", "--resume", "--output", str(folder)],
        env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    checkpoint = folder / "runs/train/checkpoint.pt"
    deadline = time.monotonic() + HANGS_AFTER_S
    while not checkpoint.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    os.kill(max(children_of(process)), signal.SIGKILL)
    _, said = process.communicate(timeout=HANGS_AFTER_S)
    assert process.returncode != 0
    lines = [line for line in said.splitlines() if "unet-med:" in line]
    assert any("has died" in line and "--resume" in line for line in lines), said[-2000:]
    step = torch.load(checkpoint, weights_only=True)["step"]
    assert 0 < step < 4000


def test_with_statistics_of_their_own_the_losses_agree(cases, tmp_path):
    """Per-process batch statistics: the smoothed final loss agrees within 5 %."""
    final = []
    for n_processes in (1, 2):
        folder = tmp_path / str(n_processes)
        write_bundle(folder, make_recipe(), make_plan(cases, steps=200, batch_size=16))
        launch = TORCHRUN if n_processes == 2 else ()
        config = CONFIGS if n_processes == 2 else "configs/train.yaml"
        command = ["-m", "monai.bundle", "run", "--config_file", config]
        subprocess.run(
            [sys.executable, *launch, *command], cwd=folder, check=True, env=ENVIRONMENT,
            capture_output=True, timeout=HANGS_AFTER_S,
        )  # fmt: skip
        with (folder / "runs/train/log.csv").open() as stream:
            losses = [float(row["loss"]) for row in csv.DictReader(stream)]
        final.append(np.mean(losses[-5:]))
    assert final[1] == pytest.approx(final[0], rel=0.05)
