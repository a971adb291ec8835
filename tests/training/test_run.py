"""Whole runs of a bundle's own train.yaml: what comes out, repeated, killed and resumed."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.bundles import make_bundle
from tests.training.bundles import (
    fill_the_disk_at_checkpoint,
    make_plan,
    make_recipe,
    write_cases,
)
from unet_med import load
from unet_med._files import PARTIAL_PREFIX, sha256_file
from unet_med.errors import BundleError, InputError, OutputError
from unet_med.evaluation import evaluate_cohort
from unet_med.recipe import Recipe
from unet_med.training import RunOptions, TrainingPlan, train_bundle
from unet_med.training.bundle_files import write_bundle
from unet_med.training.engine.run import run_bundle

ROOT = Path(__file__).parents[2]

FP32 = RunOptions(precision="fp32")
"""In which every processor learns alike; bfloat16 learns a little less in so few steps."""


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return write_cases(tmp_path_factory.mktemp("data"))


def train(folder, cases, *, options=None, recipe=None, **plan):
    made = recipe or make_recipe(), make_plan(cases, **plan)
    return train_bundle(folder, lambda: made, options or RunOptions())


def weights_of(folder):
    return sha256_file(folder / "models/model.pt")


@pytest.fixture(scope="module")
def trained(cases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "bundle"
    return folder, train(folder, cases, epochs=4, validation=("c",), options=FP32)


def test_the_bundle_segments_as_well_as_was_said(trained, cases, tmp_path):
    folder, result = trained
    recipe = Recipe.load(folder / "configs/recipe.json")
    assert recipe.weights_sha256 == weights_of(folder)
    load(folder, backend="torch", precision="fp32").segment(cases[2].images[0]).save(
        tmp_path / "c.nii.gz"
    )
    scores = evaluate_cohort(tmp_path / "c.nii.gz", Path(cases[2].label))
    expected = [row["volume_dice"] for row in scores.cases]
    assert list(result.cases["c"].values()) == pytest.approx(expected, abs=1e-6)
    assert result.dice == pytest.approx(np.mean(expected), abs=1e-6)
    assert result.dice > 0.3


def test_held_out_cases_are_scored_before_they_are_trained_on(trained, cases, tmp_path):
    folder = tmp_path / "joined"
    result = train(
        folder, cases, epochs=4, validation=("c",), merge_validation_after=0.5, options=FP32
    )
    assert result.validation_merged
    assert "before they were trained on, too" in result.summary()
    with (folder / "runs/train/log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    with (trained[0] / "runs/train/log.csv").open() as stream:
        apart = list(csv.DictReader(stream))
    assert [bool(row["dice"]) for row in rows] == [True, True, False, False]
    assert [row["loss"] for row in rows[:2]] == [row["loss"] for row in apart[:2]]
    assert rows[3]["loss"] != apart[3]["loss"]
    assert weights_of(folder) != weights_of(trained[0])
    best = torch.load(folder / "runs/train/best.pt", weights_only=True)
    last = torch.load(folder / "models/model.pt", weights_only=True)
    assert not all(torch.equal(best[key], last[key]) for key in best)


def test_the_log_tells_the_course(trained):
    folder, result = trained
    with (folder / "runs/train/log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert float(rows[-1]["step"]) == result.steps
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert max(float(row["dice"]) for row in rows) == pytest.approx(result.dice)
    assert {"dice fluid", "dice gray", "dice white"} <= set(rows[0])
    assert (folder / "runs/train/curve.png").read_bytes().startswith(b"\x89PNG")
    assert not (folder / "runs/train/cache").exists()


def test_the_export_belongs_to_the_weights(trained):
    folder, _ = trained
    pytest.importorskip("openvino")
    report = json.loads((folder / "models/openvino/precision_report.json").read_text())
    assert report["weights_sha256"] == weights_of(folder)
    assert load(folder).execution.backend == "openvino"


@pytest.mark.parametrize("change", [{"ignore_label": 9}, {"regions": {1: (1, 2)}}, {}], ids=str)
def test_the_precision_report_scores_no_label_map_in_other_terms_than_the_recipe(
    cases, tmp_path, change
):
    pytest.importorskip("openvino")
    recipe = make_recipe() if change.get("regions") is None else make_recipe(
        labels={1: "soft", 3: "white"}, activation="sigmoid",
        network=replace(make_recipe().network, out_channels=2),
    )  # fmt: skip
    train(tmp_path / "b", cases, recipe=recipe, steps=1, **change)
    precisions = Recipe.load(tmp_path / "b/configs/recipe.json").precisions
    assert precisions
    assert all((entry.dice_change is None) == bool(change) for entry in precisions)


def test_a_bundle_is_never_overwritten(trained, cases):
    folder, _ = trained
    before = weights_of(folder)
    with pytest.raises(OutputError, match="--resume"):
        train(folder, cases)
    assert weights_of(folder) == before


@pytest.mark.slow
def test_monais_own_command_gives_the_same_bytes(cases, tmp_path):
    train(tmp_path / "one", cases)
    write_bundle(tmp_path / "two", make_recipe(), make_plan(cases))
    command = ["-m", "monai.bundle", "run", "--config_file", "configs/train.yaml"]
    subprocess.run(
        [sys.executable, "-W", "ignore", *command], cwd=tmp_path / "two", check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
    )  # fmt: skip
    assert weights_of(tmp_path / "two") == weights_of(tmp_path / "one")


def test_equal_runs_give_equal_bytes_whatever_the_workers(cases, tmp_path):
    kept = tmp_path / "cache"
    train(tmp_path / "one", cases)
    train(tmp_path / "two", cases, options=RunOptions(workers=2, cache=kept))
    train(tmp_path / "other", cases, seed=1)
    assert weights_of(tmp_path / "one") == weights_of(tmp_path / "two")
    assert weights_of(tmp_path / "one") != weights_of(tmp_path / "other")
    assert len(list(kept.iterdir())) == 3


def start(folder):
    code = (
        "import sys; from pathlib import Path; from unet_med.training.engine.run import *; "
        "run_bundle(Path(sys.argv[1]), RunOptions(resume=True))"
    )
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, str(folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def kill_when(folder, ready):
    """Kill a run with SIGKILL as soon as something is so."""
    process = start(folder)
    while process.poll() is None and not ready():
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_killed_and_resumed_it_ends_in_the_same_bytes(cases, tmp_path):
    plan = {"epochs": 5, "validation": ("c",)}
    train(tmp_path / "whole", cases, **plan)
    folder = tmp_path / "killed"
    write_bundle(folder, make_recipe(), make_plan(cases, **plan))
    run = folder / "runs/train"
    assert kill_when(folder, run.exists)
    assert kill_when(folder, (run / "budget.json").exists)
    assert kill_when(folder, (run / "best.pt").exists)  # before its checkpoint
    first = (run / "checkpoint.pt").stat().st_mtime_ns if (run / "checkpoint.pt").exists() else 0

    def further():
        path = run / "checkpoint.pt"
        return path.exists() and path.stat().st_mtime_ns > first

    assert kill_when(folder, further)
    result = run_bundle(folder, RunOptions(resume=True))
    assert weights_of(folder) == weights_of(tmp_path / "whole")
    assert result.steps == 5 * 12
    again = run_bundle(folder, RunOptions(resume=True))  # nothing is left to do
    assert again.dice == result.dice
    assert weights_of(folder) == weights_of(tmp_path / "whole")


def test_another_plan_does_not_take_the_checkpoint(trained, tmp_path):
    folder = shutil.copytree(trained[0], tmp_path / "bundle")
    plan = TrainingPlan.load(folder / "configs/plan.json")
    replace(plan, batch_size=8).save(folder / "configs/plan.json")
    (folder / "runs/train/budget.json").unlink()
    with pytest.raises(InputError, match="another recipe, plan or length"):
        run_bundle(folder, RunOptions(resume=True))


def test_patience_ends_a_run_early(cases, tmp_path):
    frozen = make_plan(cases).optimizer
    result = train(
        tmp_path / "b", cases, epochs=9, validation=("c",), patience=2, ema_decay=0.0,
        optimizer=replace(frozen, learning_rate=0.0),
    )  # fmt: skip
    assert result.steps < 9 * 12


@pytest.mark.slow
def test_minutes_are_kept_and_no_case_held_out_is_said(cases, tmp_path, monkeypatch):
    began = time.monotonic()
    monkeypatch.setattr(
        "unet_med.training.engine.builders.seconds_left",
        lambda m: 60 * m - (time.monotonic() - began),
    )
    result = train(tmp_path / "b", cases, minutes=0.4)
    assert time.monotonic() - began < 0.4 * 60 + 8
    assert result.steps > 10
    assert result.dice is None
    assert "no case was held out" in result.summary()


def test_a_damaged_or_missing_case_is_named_before_training(cases, tmp_path):
    broken = replace(cases[1], images=(str(tmp_path / "none.nii.gz"),))
    with pytest.raises(InputError, match=r"none\.nii\.gz"):
        train(tmp_path / "b", (cases[0], broken))
    finished = make_bundle(tmp_path / "finished")  # somebody's weights, with no plan
    before = weights_of(finished)
    with pytest.raises(InputError, match="its training cannot go on"):
        train(finished, cases, options=RunOptions(resume=True))
    assert weights_of(finished) == before
    with pytest.raises(BundleError, match="plan it first"):
        run_bundle(tmp_path, RunOptions())


def test_a_full_disk_keeps_the_last_checkpoint(cases, tmp_path, monkeypatch):
    folder = tmp_path / "b"
    fill_the_disk_at_checkpoint(monkeypatch, 3)
    with pytest.raises(OutputError, match="No space left"):
        train(folder, cases)
    monkeypatch.undo()
    kept = torch.load(folder / "runs/train/checkpoint.pt", weights_only=True)
    assert kept["step"] == 2
    leftovers = [folder / f"{name}/{PARTIAL_PREFIX}0.x" for name in ("configs", "runs/train")]
    for path in leftovers:
        path.write_bytes(b"a part")  # of what was killed
    (folder / f"models/{PARTIAL_PREFIX}1.openvino/deep").mkdir(parents=True)
    run_bundle(folder, RunOptions(resume=True))
    assert not [path for path in folder.rglob("*") if PARTIAL_PREFIX in path.name]
    train(tmp_path / "whole", cases)
    assert weights_of(folder) == weights_of(tmp_path / "whole")


def test_one_label_with_the_notebooks_single_output(cases, tmp_path):
    network = replace(make_recipe().network, out_channels=1)
    recipe = make_recipe(network=network, labels={3: "white"}, activation="sigmoid")
    result = train(tmp_path / "b", cases, recipe=recipe, epochs=3, validation=("c",))
    assert result.dice > 0.3
