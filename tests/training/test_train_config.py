"""configs/train.yaml: its properties, and two real steps on a tiny volume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.utils import set_determinism

from tests.training.heads import write_pair
from unet_med.networks import UNet2D
from unet_med.recipe import Recipe
from unet_med.weights import load_weights, save_weights

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"

# MONAI warns that configs are code; these are ours.
pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")


def workflow(**overrides):
    return ConfigWorkflow(
        config_file=str(CONFIGS / "train.yaml"),
        meta_file=str(CONFIGS / "metadata.json"),
        workflow_type="train",
        bundle_root=str(ROOT),
        **overrides,
    )


def tiny(tmp_path):
    """Return overrides for two steps of a small network on a tiny head."""
    recipe = json.loads((CONFIGS / "recipe.json").read_text())
    recipe["network"]["sizes"] = [4, 8]
    recipe["weights_sha256"] = ""
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    write_pair(tmp_path / "data")
    return {
        "dataset_dir": str(tmp_path / "data"),
        "output_dir": str(tmp_path / "run"),
        "recipe_file": str(tmp_path / "recipe.json"),
        "max_epochs": 1,
        "val_interval": 1,
        "threads": 1,
        "scans_per_epoch": 2,
        "scans_per_batch": 1,
        "train#dataset#slices_per_scan": 2,
        "train#dataset#folds_per_case": 1,
        "train#settings#crop": 32,
        "device": "$torch.device('cpu')",
    }


@pytest.fixture(autouse=True)
def _restored_state():
    """Undo what the config's ``initialize`` sets for the whole process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    set_determinism(None)


def test_properties_are_complete():
    run = workflow(threads=1)
    run.initialize()
    assert run.check_properties() == []


def test_the_defaults_point_into_the_bundle():
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / "train.yaml"))
    parser["bundle_root"] = "elsewhere"
    assert parser.get_parsed_content("dataset_dir") == "elsewhere/sample_data/train"
    assert parser.get_parsed_content("output_dir") == "elsewhere/runs/train"


def test_two_steps_write_a_plain_state_dict_that_loads(tmp_path):
    run = workflow(**tiny(tmp_path))
    run.initialize()
    run.run()
    trainer, evaluator = run.trainer, run.evaluator
    run.finalize()
    assert trainer.state.iteration == 2
    assert 0.0 <= evaluator.state.metrics["volume_dice"] <= 1.0
    weights = tmp_path / "run" / "model.pt"
    tensors = torch.load(weights, weights_only=True)
    assert all(type(value) is torch.Tensor for value in tensors.values())
    arguments = Recipe.load(tmp_path / "recipe.json").network
    network = UNet2D(arguments.in_channels, arguments.out_channels, arguments.sizes)
    start = network.last.weight.clone()
    load_weights(network, weights)
    assert not torch.equal(network.last.weight, start)


def test_training_can_start_from_given_weights(tmp_path):
    overrides = tiny(tmp_path) | {"val_interval": 9, "learning_rate": 0.0}
    network = UNet2D(5, 4, (4, 8))
    save_weights(network, tmp_path / "given.pt")
    run = workflow(**overrides, initial_weights=str(tmp_path / "given.pt"))
    run.initialize()
    run.run()
    run.finalize()
    tensors = torch.load(tmp_path / "run" / "model.pt", weights_only=True)
    for name, value in network.named_parameters():  # a rate of zero leaves them alone
        torch.testing.assert_close(tensors[name], value.data)


def test_multi_gpu_config_holds_only_differences():
    names = ("train.yaml", "multi_gpu_train.yaml")
    plain, multi = (ConfigParser.load_config_file(str(CONFIGS / name)) for name in names)
    assert not [key for key, value in multi.items() if plain.get(key) == value]
