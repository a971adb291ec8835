"""configs/train.yaml of the repository and of bundles that training writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
from monai.bundle import ConfigParser, ConfigWorkflow, scripts

from tests.training.bundles import make_plan, make_recipe, write_cases
from unet_med.networks import UNet2D
from unet_med.preprocessing import Context
from unet_med.recipe import NetworkRecipe
from unet_med.training import LearningRateSchedule, TrainingPlan
from unet_med.training.bundle_files import write_bundle
from unet_med.training.engine.epochs import CHECKPOINT
from unet_med.training.engine.pretrained import FrozenBatchNorm2d

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"

# MONAI warns that configs are code; these are ours.
pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")


def workflow(root, name="train.yaml", **overrides):
    return ConfigWorkflow(
        config_file=str(root / "configs" / name),
        meta_file=str(root / "configs" / "metadata.json"),
        workflow_type="train" if name == "train.yaml" else "infer",
        bundle_root=str(root),
        **overrides,
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    recipe = make_recipe(network=NetworkRecipe(3, 4, (4, 8)), context=Context(3, 3.0))
    cases = write_cases(folder / "data")
    write_bundle(folder / "bundle", recipe, make_plan(cases, validation=("b",)))
    return folder / "bundle"


def test_the_schedule_leads_the_loss_that_the_trainer_uses(bundle, tmp_path):
    run = workflow(bundle, output_dir=str(tmp_path))
    run.initialize()
    handlers = run.parser.get_parsed_content("train#handlers")
    (schedule,) = (handler for handler in handlers if isinstance(handler, LearningRateSchedule))
    trainer = run.parser.get_parsed_content("train#trainer")
    assert trainer.loss_function.loss is schedule.loss
    assert schedule.loss.balance == 1.0


def test_switches_that_come_as_text_are_off_when_they_say_so(bundle, tmp_path):
    """As ``--resume false`` gives them, which Python takes for true."""
    (tmp_path / "cache").mkdir()
    (tmp_path / CHECKPOINT).write_text("of an earlier run")
    names = ("resume", "freeze_batch_norm", "tensorboard", "amp", "keep_cache")
    run = workflow(bundle, output_dir=str(tmp_path), **dict.fromkeys(names, "false"))
    run.initialize()
    trainer = run.parser.get_parsed_content("train#trainer")
    assert trainer.amp is False
    assert not any(isinstance(part, FrozenBatchNorm2d) for part in trainer.network.modules())
    assert run.parser.get_parsed_content("events_dir") is None
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_written_bundle_has_monais_properties(bundle, tmp_path):
    run = workflow(bundle, output_dir=str(tmp_path))
    run.initialize()
    assert run.check_properties() == []
    assert isinstance(run.network_def, UNet2D)
    assert len(run.val_dataset) == 1


def test_the_repository_can_be_trained_as_it_is(tmp_path):
    run = workflow(ROOT, output_dir=str(tmp_path))
    run.initialize()
    assert run.check_properties() == []
    plan = TrainingPlan.load(CONFIGS / "plan.json")
    assert all(
        (ROOT / path).is_file() for case in plan.cases for path in (*case.images, case.label)
    )
    batches = run.parser.get_parsed_content("train#dataset")
    assert len(batches) > 100


def test_the_defaults_point_into_the_bundle():
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / "train.yaml"))
    parser["bundle_root"] = "elsewhere"
    assert parser.get_parsed_content("dataset_dir") == "elsewhere"
    assert parser.get_parsed_content("output_dir") == "elsewhere/runs/train"
    assert parser.get_parsed_content("cache_dir") == "elsewhere/runs/train/cache"


def test_metadata_follow_monais_schema(bundle):
    schema = json.loads((ROOT / "tests/meta_schema_20240725.json").read_text())
    metadata = json.loads((bundle / "configs/metadata.json").read_text())
    jsonschema.validate(metadata, schema)
    image = metadata["network_data_format"]["inputs"]["image"]
    assert list(image["channel_def"].values()) == [
        "T1, context slice -1", "T1", "T1, context slice +1",
    ]  # fmt: skip
    pred = metadata["network_data_format"]["outputs"]["pred"]
    assert pred["channel_def"]["2"] == "logits of gray"


@pytest.mark.parametrize("name", ["inference.yaml", "evaluate.yaml"])
def test_monais_tools_take_a_written_bundle(bundle, tmp_path, name):
    folder = shutil.copytree(bundle, tmp_path / "bundle")
    scripts.verify_net_in_out(
        "network_def",
        device="cpu",
        config_file=str(folder / "configs" / name),
        meta_file=str(folder / "configs/metadata.json"),
        bundle_root=str(folder),
    )


def test_multi_gpu_config_holds_only_differences():
    names = ("train.yaml", "multi_gpu_train.yaml")
    plain, multi = (ConfigParser.load_config_file(str(CONFIGS / name)) for name in names)
    assert not [key for key, value in multi.items() if plain.get(key) == value]
