"""Deep supervision: heads in training alone, and a bundle like any other."""

from __future__ import annotations

import pytest
import torch
from monai.losses import DeepSupervisionLoss as MonaiLoss
from monai.losses import DiceCELoss

from tests.training.bundles import (
    fill_the_disk_at_checkpoint,
    make_plan,
    make_recipe,
    write_cases,
)
from tests.training.test_target_encoding import encoding_of
from unet_med import load
from unet_med._files import sha256_file
from unet_med.cli import main
from unet_med.errors import OutputError
from unet_med.networks import UNet2D
from unet_med.recipe import NetworkRecipe
from unet_med.training import (
    DeepSupervisionLoss,
    DiceCrossEntropy,
    RunOptions,
    TrainingPlan,
    train_bundle,
    with_deep_supervision,
)
from unet_med.training.engine.loss import SMOOTH
from unet_med.training.engine.run import run_bundle
from unet_med.training.target_encoding import IGNORE_INDEX

SIZES = (4, 8, 16)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return write_cases(tmp_path_factory.mktemp("data"), ["a", "b"])


def make_network(cases):
    torch.manual_seed(0)
    network = UNet2D(1, 4, SIZES)
    return network, with_deep_supervision(network, make_plan(cases, deep_supervision=True))


def test_heads_read_the_levels_of_the_decoder(cases):
    """Against the network's parts, run one by one."""
    network, whole = make_network(cases)
    images = torch.randn(2, 1, 13, 22)
    whole.train()
    with torch.no_grad():
        fine, half, quarter = whole(images)
        x, skips = torch.nn.functional.pad(images, [0, 2, 0, 3]), []
        for block in network.down:
            x = block(x)
            skips.append(x)
            x = network.pool(x)
        x = network.bottleneck(x)
        x = network.up[1](torch.cat([network.up[0](x), skips[2]], 1))
        torch.testing.assert_close(quarter, whole.heads[1](x))
        x = network.up[3](torch.cat([network.up[2](x), skips[1]], 1))
        torch.testing.assert_close(half, whole.heads[0](x))
        torch.testing.assert_close(fine, network(images))
    assert [tuple(each.shape) for each in (fine, half, quarter)] == [
        (2, 4, 13, 22), (2, 4, 8, 12), (2, 4, 4, 6),
    ]  # fmt: skip
    whole.eval()
    torch.testing.assert_close(whole(images), network(images), rtol=0, atol=0)
    assert not any(block._forward_hooks for block in network.modules())


def test_without_it_the_network_itself_is_trained(cases):
    network = UNet2D(1, 4, SIZES)
    assert with_deep_supervision(network, make_plan(cases)) is network
    loss = DiceCrossEntropy(encoding_of(), activation="softmax")
    logits, codes = torch.randn(2, 4, 8, 8), torch.randint(0, 4, (2, 8, 8), dtype=torch.uint8)
    assert DeepSupervisionLoss(loss)(logits, codes) == loss(logits, codes)


def test_it_is_monais_loss_with_weights_that_sum_to_one():
    levels = [torch.randn(2, 4, 16 // f, 24 // f, requires_grad=True) for f in (1, 2, 4)]
    codes = torch.randint(0, 4, (2, 16, 24), dtype=torch.uint8)
    ours = DeepSupervisionLoss(DiceCrossEntropy(encoding_of(), activation="softmax"))
    base = DiceCELoss(
        include_background=False, to_onehot_y=True, softmax=True, batch=True,
        smooth_nr=SMOOTH, smooth_dr=SMOOTH,
    )  # fmt: skip
    theirs = MonaiLoss(base, weight_mode="exp")
    value = ours(tuple(levels), codes)
    wanted = theirs(levels, codes[:, None].float()) / 1.75
    torch.testing.assert_close(value, wanted)
    gradients = [torch.autograd.grad(loss, levels) for loss in (value, wanted)]
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other)


def test_what_lies_beyond_the_image_or_is_ignored_does_not_count():
    codes = torch.randint(0, 4, (1, 13, 22), dtype=torch.uint8)
    codes[:, :3] = IGNORE_INDEX
    half = torch.randn(1, 4, 8, 12, requires_grad=True)
    loss = DeepSupervisionLoss(DiceCrossEntropy(encoding_of(), activation="softmax"))
    loss((torch.randn(1, 4, 13, 22), half), codes).backward()
    counted = half.grad.abs().sum(dim=(0, 1)) > 0
    wanted = torch.zeros(8, 12, dtype=torch.bool)
    wanted[1:6, :11] = True  # rows 3, 5 … 11 and columns 1, 3 … 21 of the codes
    assert torch.equal(counted, wanted)


def test_a_run_drops_the_heads_and_goes_on_where_it_stopped(cases, tmp_path, monkeypatch):
    recipe = make_recipe(network=NetworkRecipe(1, 4, SIZES))
    made = recipe, make_plan(cases, deep_supervision=True)
    train_bundle(tmp_path / "whole", lambda: made, RunOptions())
    weights = torch.load(tmp_path / "whole/models/model.pt", weights_only=True)
    assert list(weights) == list(UNet2D(1, 4, SIZES).state_dict())
    assert load(tmp_path / "whole", threads=1).segment(cases[0].images[0]).labels.ndim == 3

    with monkeypatch.context() as patch:
        fill_the_disk_at_checkpoint(patch, 3)
        with pytest.raises(OutputError):
            train_bundle(tmp_path / "stopped", lambda: made, RunOptions())
    kept = torch.load(tmp_path / "stopped/runs/train/checkpoint.pt", weights_only=True)
    assert {"heads.0.weight", "heads.1.bias"} <= set(kept["network"])
    assert not any(key.startswith("heads") for key in kept["average"])
    run_bundle(tmp_path / "stopped", RunOptions(resume=True))
    resumed = sha256_file(tmp_path / "stopped/models/model.pt")
    assert resumed == sha256_file(tmp_path / "whole/models/model.pt")
    last = torch.load(tmp_path / "stopped/runs/train/checkpoint.pt", weights_only=True)
    assert not torch.equal(last["network"]["heads.0.weight"], kept["network"]["heads.0.weight"])


def test_the_option_reaches_the_plan(tmp_path):
    home = tmp_path / "data"
    write_cases(home, ["a", "b"])
    command = ["plan", f"--images={home / 'images'}", f"--labels={home / 'labels'}", "--steps=1"]
    assert main([*command, f"--output={tmp_path / 'off'}"]) == 0
    assert main([*command, f"--output={tmp_path / 'on'}", "--deep-supervision"]) == 0
    off, on = (TrainingPlan.load(tmp_path / name / "configs/plan.json") for name in ("off", "on"))
    assert (off.deep_supervision, on.deep_supervision) == (False, True)
    assert any("deep supervision" in note for note in on.notes)
