"""A trained bundle's own configs and card: what they do, and what they ask for."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigWorkflow

from tests.training.bundles import make_plan, make_recipe, write_cases
from unet_med import load
from unet_med._files import sha256_file
from unet_med.cli import main
from unet_med.errors import InputError
from unet_med.recipe import Channel
from unet_med.training import RunOptions, TrainingPlan, held_out_data, train_bundle
from unet_med.training.bundle_files import write_bundle
from unet_med.training.engine.run import run_bundle
from unet_med.training.model_card_sections import how_to_use
from unet_med.volumes import open_volume

# MONAI warns that configs are code; these are ours.
pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return write_cases(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(cases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "bundle"
    made = make_recipe(), make_plan(cases, epochs=3, validation=("b", "c"))
    result = train_bundle(folder, lambda: made, RunOptions(command_line="unet-med train"))
    return folder, result


def run(bundle, name, **overrides):
    """Run a config as ``python -m monai.bundle run`` does; return the text of its last error."""
    work = ConfigWorkflow(
        config_file=str(bundle / "configs" / name),
        meta_file=str(bundle / "configs/metadata.json"),
        logging_file=False,
        workflow_type="infer",
        bundle_root=str(bundle),
        threads=1,
        **overrides,
    )
    work.initialize()
    try:
        work.run()
    except RuntimeError as error:
        return str(error)
    return ""


def test_evaluate_scores_the_cases_held_out(trained, tmp_path):
    folder, result = trained
    assert not run(folder, "evaluate.yaml", output_dir=str(tmp_path))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["cases"]["failed"] == []
    rows = (tmp_path / "cases.csv").read_text().splitlines()
    names = rows[0].split(",")
    found = {}
    for row in (dict(zip(names, line.split(","), strict=True)) for line in rows[1:]):
        found.setdefault(row["case"], {})[row["label_name"]] = float(row["volume_dice"])
    assert set(found) == {"b", "c"}
    for case, scores in result.cases.items():
        assert found[case] == pytest.approx(scores, abs=1e-6)


def test_equal_file_names_in_folders_are_told_apart(trained, tmp_path):
    """As many archives have them: one folder per patient, the same names in each."""
    folder = shutil.copytree(trained[0], tmp_path / "bundle")
    plan_file = folder / "configs/plan.json"
    plan = json.loads(plan_file.read_text())
    for case in plan["cases"]:
        home = tmp_path / "data" / case["id"]
        home.mkdir(parents=True)
        shutil.copy(case["images"][0], home / "scan.nii.gz")
        shutil.copy(case["label"], home / "mask.nii.gz")
        case["images"] = [str(home / "scan.nii.gz")]
        case["label"] = str(home / "mask.nii.gz")
    plan_file.write_text(json.dumps(plan))
    assert not run(folder, "evaluate.yaml", output_dir=str(tmp_path / "scores"))
    rows = (tmp_path / "scores/cases.csv").read_text().splitlines()[1:]
    assert {row.split(",")[0] for row in rows} == {"b/mask", "c/mask"}
    (tmp_path / "data/c/mask.nii.gz").unlink()
    with pytest.raises(InputError, match=r"c/mask\.nii\.gz; pass --dataset_dir"):
        held_out_data(folder)


def test_inference_says_what_to_pass_and_does_it(trained, cases, tmp_path):
    folder, _ = trained
    said = run(folder, "inference.yaml", output_dir=str(tmp_path / "m"))
    assert "--dataset_dir FOLDER_OF_SCANS" in said.splitlines()[-1]
    options = {"dataset_dir": cases[0].images[0], "output_dir": str(tmp_path / "m")}
    assert not run(folder, "inference.yaml", **options)
    mask = open_volume(tmp_path / "m/a.nii.gz")
    expected = load(folder, threads=1).segment(cases[0].images[0]).labels
    stored = mask.read(0, expected.shape[2], axis=2)[0]
    np.testing.assert_array_equal(stored, expected)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, "trained on every case"),
        ({"validation": ("c",), "merge_validation_after": 0.5}, "trained on, too"),
        ({"validation": ("c",), "ignore_label": 9}, "ignore"),
        ({"validation": ("c",), "regions": {1: (1, 2)}}, "regions"),
    ],
)
def test_evaluate_asks_for_data_where_its_own_would_flatter(cases, tmp_path, change, why):
    plan = make_plan(cases, **change)
    write_bundle(tmp_path, make_recipe(), plan)
    said = run(tmp_path, "evaluate.yaml", output_dir=str(tmp_path / "scores"))
    assert "--dataset_dir FOLDER with images/ and labels/" in said.splitlines()[-1]
    with pytest.raises(InputError, match=why):
        held_out_data(tmp_path)
    assert "FOLDER_WITH_images_AND_labels" in how_to_use(make_recipe(), plan)


def test_train_runs_again_unedited(trained, tmp_path):
    folder = shutil.copytree(trained[0], tmp_path / "bundle")
    (folder / "models/model.pt").unlink()
    (folder / "models/model.onnx").write_bytes(b"of the same weights")
    run_bundle(folder, RunOptions())
    assert (folder / "models/model.onnx").exists()
    assert sha256_file(folder / "models/model.pt") == sha256_file(trained[0] / "models/model.pt")


def test_an_onnx_model_of_other_weights_does_not_stay(trained, tmp_path, messages_of):
    messages = messages_of("unet_med.training.engine.finalize")
    folder = shutil.copytree(trained[0], tmp_path / "bundle")
    (folder / "models/model.onnx").write_bytes(b"of the weights before")
    plan = TrainingPlan.load(folder / "configs/plan.json")
    replace(plan, seed=5).save(folder / "configs/plan.json")
    run_bundle(folder, RunOptions())
    assert sha256_file(folder / "models/model.pt") != sha256_file(trained[0] / "models/model.pt")
    assert not (folder / "models/model.onnx").exists()
    assert any("was of the weights before and is removed" in text for text in messages)


def test_the_card_says_what_to_type(trained, cases, tmp_path, monkeypatch):
    folder = shutil.copytree(trained[0], tmp_path / "bundle")
    monkeypatch.chdir(folder)
    card = Path("docs/model_card.md").read_text()
    words = {
        "SCANS": cases[0].images[0],
        "MASKS": str(tmp_path / "masks"),
        "LABELS": cases[0].label,
        "SCORES": str(tmp_path / "scores"),
        "scan.nii.gz": cases[0].images[0],
        "mask.nii.gz": str(tmp_path / "mask.nii.gz"),
    }
    section = card.partition("## How to use it")[2].partition("## Data")[0].replace("\\\n", " ")
    for word, path in words.items():
        section = re.sub(rf"\b{re.escape(word)}\b", path, section)
    lines = section.splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("unet-med ")]
    for command in commands:
        assert main(command[1:]) == 0
    assert [command[1] for command in commands] == ["segment", "evaluate"]
    runs = [shlex.split(line) for line in lines if line.startswith("python -m monai.bundle")]
    assert [Path(line[5]).name for line in runs] == [
        "inference.yaml",
        "evaluate.yaml",
        "train.yaml",
    ]
    assert all(Path(line[5]).is_file() for line in runs)
    exec(section.partition("```python")[2].partition("```")[0], {})
    assert (tmp_path / "mask.nii.gz").is_file()


def test_the_card_names_the_files_of_several_channels(cases):
    recipe = make_recipe(
        channels=(Channel("T1", "MR"), Channel("T2", "MR")),
        network=replace(make_recipe().network, in_channels=2),
    )
    text = how_to_use(recipe, make_plan(cases, validation=("c",)))
    assert "`CASE_0000.nii.gz` T1, `CASE_0001.nii.gz` T2" in text
    assert "configs/evaluate.yaml\n" in text
