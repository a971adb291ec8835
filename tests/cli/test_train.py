"""``unet-med train`` from folders to a bundle, and what it says when it cannot."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from tests.training.bundles import make_recipe, write_cases
from unet_med.cli import main
from unet_med.recipe import Recipe
from unet_med.training import TrainingPlan


@pytest.fixture(autouse=True)
def _restored_state():
    """Undo what the config's ``initialize`` sets for the whole process."""
    from monai.utils import set_determinism

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    set_determinism(None)


@pytest.fixture
def data(tmp_path):
    write_cases(tmp_path / "data", ["a", "b", "c"])
    return tmp_path / "data"


def train(data, output, *more):
    folders = [f"--images={data / 'images'}", f"--labels={data / 'labels'}"]
    return main(["train", *folders, f"--output={output}", "--threads=1", *more])


def test_what_is_doubtful_about_the_data_is_said_once(data, tmp_path, capsys):
    for path in sorted(data.rglob("*.nii.gz")):
        image = nib.load(path)
        voxels, affine = np.asanyarray(image.dataobj), image.affine
        doubtful = nib.Nifti1Image(voxels, affine)
        doubtful.set_sform(affine, 1)
        doubtful.set_qform(np.diag([9.0, 9, 9, 1]), 1)
        nib.save(doubtful, path)
    assert train(data, tmp_path / "b", "--steps=2", "--sizes=4,8") == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "disagree" in line]
    named = [line.split("warning: ")[1].split(":")[0] for line in said]
    assert sorted(", ".join(named).split(", ")) == ["a", "b", "c"], said


def test_a_plan_that_was_written_is_carried_out_as_it_was_edited(data, tmp_path, capsys):
    folders = [f"--images={data / 'images'}", f"--labels={data / 'labels'}"]
    out = tmp_path / "b"
    assert main(["plan", *folders, "--steps=5", "--sizes=4,8", f"--output={out}"]) == 0
    path = out / "configs/plan.json"
    path.write_text(path.read_text().replace('"steps": 5', '"steps": 2'))
    assert train(data, out, "--steps=5") == 2  # what is there is not written over
    assert "--resume" in capsys.readouterr().err
    assert main(["train", "--resume", f"--output={out}"]) == 0
    assert "trained for 2 steps" in capsys.readouterr().out
    assert "unet-med train --resume" in (out / "docs/model_card.md").read_text()


def test_folders_in_a_bundle_out(data, tmp_path, capsys):
    code = train(data, tmp_path / "b", "--steps=2", "--sizes=4,8", "--json")
    out, err = capsys.readouterr()
    assert code == 0
    result = json.loads(out)
    assert result["steps"] == 2
    assert list(result["held_out_cases"]) == list(
        TrainingPlan.load(tmp_path / "b/configs/plan.json").validation
    )
    assert "2 steps of" in err
    assert "held out" in err  # the plan's reasons are shown
    card = (tmp_path / "b/docs/model_card.md").read_text()
    assert "unet-med train" in card
    scan = str(data / "images/a.nii.gz")
    assert main(["segment", scan, f"--bundle={tmp_path / 'b'}", f"--output={tmp_path / 'm'}"]) == 0
    assert train(data, tmp_path / "b", "--steps=2") == 2
    assert "--resume" in capsys.readouterr().err
    assert main(["train", "--resume", f"--output={tmp_path / 'b'}"]) == 0


def test_a_given_recipe(data, tmp_path):
    recipe = make_recipe(weights_sha256="0" * 64)
    recipe.save(tmp_path / "recipe.json")
    more = (f"--recipe={tmp_path / 'recipe.json'}", "--steps=1")
    assert train(data, tmp_path / "b", *more) == 0
    made = Recipe.load(tmp_path / "b/configs/recipe.json")
    assert made.network == recipe.network
    assert made.weights_sha256 != recipe.weights_sha256


@pytest.mark.parametrize("fault", ["unreadable", "no foreground", "no folder"])
def test_what_cannot_be_trained_on_is_one_line(data, tmp_path, capsys, fault):
    if fault == "unreadable":
        (data / "images/b.nii.gz").write_bytes(b"nothing")
    elif fault == "no foreground":
        for path in Path(data / "labels").iterdir():
            image = nib.load(path)
            empty = np.zeros(image.shape, np.uint8)
            nib.save(nib.Nifti1Image(empty, image.affine), path)
    folder = data if fault != "no folder" else tmp_path / "nowhere"
    assert train(folder, tmp_path / "b", "--steps=1") == 2
    (line,) = [text for text in capsys.readouterr().err.splitlines() if "error" in text]
    assert {"unreadable": "b", "no foreground": "label", "no folder": "nowhere"}[fault] in line
    assert not (tmp_path / "b").exists()


def test_a_time_too_short_for_a_step_is_said_and_makes_a_bundle(data, tmp_path, capsys):
    assert train(data, tmp_path / "b", "--minutes=0.01", "--sizes=4,8") == 0
    out, err = capsys.readouterr()
    assert "the time is over before the first step" in err
    assert "the 1 held out could not be scored" in out
    card = (tmp_path / "b/docs/model_card.md").read_text()
    assert "could not be scored" in card
    scan = str(data / "images/a.nii.gz")
    assert main(["segment", scan, f"--bundle={tmp_path / 'b'}", f"--output={tmp_path / 'm'}"]) == 0


@pytest.mark.parametrize("option", ["--workers=-1", "--seed=-1", "--spacing-mm=inf", "--threads=0"])
def test_numbers_that_make_no_sense_are_one_line(data, tmp_path, capsys, option):
    assert train(data, tmp_path / "b", "--steps=1", option) == 2
    (line,) = [text for text in capsys.readouterr().err.splitlines() if "error" in text]
    assert re.match(r"--(\w+)", option)[1] in line
    assert "unexpected" not in line
    assert not (tmp_path / "b").exists()


def test_bad_cases_can_be_left_out(data, tmp_path):
    (data / "images/b.nii.gz").write_bytes(b"nothing")
    assert train(data, tmp_path / "b", "--steps=1", "--sizes=4,8", "--skip-bad") == 0
    plan = TrainingPlan.load(tmp_path / "b/configs/plan.json")
    assert {case.id for case in plan.cases} == {"a", "c"}


def test_nothing_to_resume_is_said(tmp_path, capsys):
    assert main(["train", "--resume", f"--output={tmp_path / 'b'}"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
