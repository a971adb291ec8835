"""TensorBoard's event files: those of log.csv, every step once, and only when asked for."""

from __future__ import annotations

import csv
import shutil
import sys

import pytest

from tests.training.bundles import (
    fill_the_disk_at_checkpoint,
    make_plan,
    make_recipe,
    write_cases,
)
from tests.training.events import points
from unet_med._files import sha256_file
from unet_med.cli import main
from unet_med.errors import MissingExtraError, OutputError
from unet_med.training import RunOptions, train_bundle
from unet_med.training.engine.run import run_bundle
from unet_med.training.engine.tensorboard_log import tensorboard_folder

pytest.importorskip("tensorboard")
WANTED = RunOptions(tensorboard=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    cases = write_cases(tmp_path_factory.mktemp("data"))
    return make_recipe(), make_plan(cases, steps=4, validation=("c",))


@pytest.fixture(scope="module")
def plain(made, tmp_path_factory):
    """A whole run that does not log."""
    folder = tmp_path_factory.mktemp("plain") / "bundle"
    train_bundle(folder, lambda: made, RunOptions())
    return folder


def rows_of(folder):
    with (folder / "runs/train/log.csv").open() as stream:
        return list(csv.DictReader(stream))


def stop_after_two_steps(folder, made, options, monkeypatch):
    with monkeypatch.context() as patch:
        fill_the_disk_at_checkpoint(patch, 3)
        with pytest.raises(OutputError, match="No space left"):
            train_bundle(folder, lambda: made, options)


def check_against_the_log(found, folder):
    rows = rows_of(folder)
    tags = {"loss": "loss/epoch", "dice": "dice/mean"}
    tags |= {f"dice {name}": f"dice/label/{name}" for name in ("fluid", "gray", "white")}
    for column, tag in tags.items():
        wanted = [(int(float(r["step"])), float(r[column])) for r in rows if r[column]]
        assert wanted
        assert [step for step, _ in found[tag]] == [step for step, _ in wanted]
        assert [v for _, v in found[tag]] == pytest.approx([v for _, v in wanted], rel=1e-6)


def test_a_run_that_stopped_and_went_on_has_every_point_once(made, plain, tmp_path, monkeypatch):
    folder = tmp_path / "bundle"
    stop_after_two_steps(folder, made, WANTED, monkeypatch)
    events = folder / "runs/train/tensorboard"
    assert [step for step, _ in points(events)["loss/step"]] == [1, 2]
    run_bundle(folder, RunOptions(resume=True))  # it need not be asked for again
    found = points(events)
    check_against_the_log(found, folder)
    losses, rates = found["loss/step"], found["learning_rate"]
    assert [step for step, _ in losses] == [step for step, _ in rates] == [1, 2, 3, 4]
    assert losses == found["loss/epoch"]  # epochs of one step
    assert [rate for _, rate in rates] == pytest.approx(
        [float(row["learning_rate"]) for row in rows_of(folder)]
    )
    assert sha256_file(folder / "models/model.pt") == sha256_file(plain / "models/model.pt")
    assert not (plain / "runs/train/tensorboard").exists()


def test_tensorboard_itself_reads_the_run(made, tmp_path, monkeypatch):
    """A run that logs only from its second part on begins with the epochs of log.csv."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path / "bundle"
    stop_after_two_steps(folder, made, RunOptions(), monkeypatch)
    run_bundle(folder, RunOptions(resume=True, tensorboard=True))
    board = EventAccumulator(str(folder / "runs/train/tensorboard"))
    board.Reload()
    tags = board.Tags()["scalars"]
    check_against_the_log(
        {tag: [(p.step, p.value) for p in board.Scalars(tag)] for tag in tags}, folder
    )
    assert [point.step for point in board.Scalars("loss/step")] == [3, 4]
    shutil.rmtree(folder / "models")
    run_bundle(folder, RunOptions())  # from the start, without
    assert not (folder / "runs/train/tensorboard").exists()


def test_without_the_package_one_line_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    command = ["train", "--images", str(tmp_path), "--output", str(tmp_path / "b"), "--tensorboard"]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'unet_med[tensorboard]'" in line
    with pytest.raises(MissingExtraError, match=r"unet_med\[tensorboard\]"):
        tensorboard_folder(tmp_path, wanted=True)
    (tmp_path / "tensorboard").mkdir()
    assert tensorboard_folder(tmp_path, wanted=False) is None
