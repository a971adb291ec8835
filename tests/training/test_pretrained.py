"""Weights of another bundle: what fits is taken by name, the rest is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.bundles import make_bundle
from tests.training.bundles import make_plan, write_cases
from unet_med.bundle import open_bundle
from unet_med.bundle.weights import read_weights
from unet_med.errors import BundleError, RecipeError, WeightsError
from unet_med.networks import UNet2D
from unet_med.preprocessing import Context
from unet_med.recipe import Recipe
from unet_med.training import RunOptions, train_bundle
from unet_med.training.engine.pretrained import load_pretrained


@pytest.fixture
def other(tmp_path):
    return make_bundle(tmp_path / "other", labels={1: "liver", 2: "spleen", 5: "kidney"})


def network_of(recipe, seed=9):
    torch.manual_seed(seed)
    arguments = recipe.network
    return UNet2D(arguments.in_channels, arguments.out_channels, arguments.sizes)


def test_an_equal_network_is_taken_whole(other):
    recipe = open_bundle(other).recipe
    network = network_of(recipe)
    assert load_pretrained(network, other, recipe) == []
    given = read_weights(other / "models/model.pt")
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, given[key])


def test_labels_are_matched_by_name(other):
    recipe = replace(open_bundle(other).recipe, labels={1: "kidney", 2: "heart", 3: "liver"})
    network = network_of(recipe)
    fresh = network.last.weight.detach().clone()
    said = load_pretrained(network, other, recipe)
    given = read_weights(other / "models/model.pt")["last.weight"]
    rows = network.last.weight
    assert torch.equal(rows[[0, 1, 3]], given[[0, 3, 1]])
    assert torch.equal(rows[2], fresh[2])
    assert said == [
        "labels heart are new and start at random", "labels spleen are not wanted here",
    ]  # fmt: skip


def test_channels_are_matched_by_name_and_place(other):
    before = open_bundle(other).recipe
    channels = (replace(before.channels[0], name="new"), before.channels[0])
    recipe = replace(before, channels=channels, network=replace(before.network, in_channels=2))
    network = network_of(recipe)
    fresh = network.down[0].block[0].weight.detach().clone()
    said = load_pretrained(network, other, recipe)
    given = read_weights(other / "models/model.pt")["down.0.block.0.weight"]
    assert torch.equal(network.down[0].block[0].weight[:, 1:], given)
    assert torch.equal(network.down[0].block[0].weight[:, :1], fresh[:, :1])
    assert said == ["input channels new are new and start at random"]
    fewer = replace(before, channels=(replace(before.channels[0], name="new"),))
    assert load_pretrained(network_of(fewer), other, fewer) == [
        "input channels new are new and start at random",
        f"input channels {before.channels[0].name} are not wanted here",
    ]
    with_context = replace(
        before, context=Context(3, 2.0), network=replace(before.network, in_channels=3)
    )
    said = load_pretrained(network_of(with_context), other, with_context)
    assert "slice 2 of 3" in said[0]


def test_other_sizes_are_named(other):
    before = open_bundle(other).recipe
    recipe = replace(before, network=replace(before.network, sizes=(4, 8, 16)))
    (said,) = load_pretrained(network_of(recipe), other, recipe)
    assert "more have other shapes and start at random" in said


def test_what_is_no_bundle_is_refused(other, tmp_path):
    recipe = open_bundle(other).recipe
    with pytest.raises(BundleError, match="no bundle folder"):
        load_pretrained(network_of(recipe), tmp_path / "nowhere", recipe)
    (other / "models/model.pt").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="not the file its recipe names"):
        load_pretrained(network_of(recipe), other, recipe)


def test_what_cannot_be_started_from_is_refused_before_anything_is_read(other, tmp_path):
    with pytest.raises(BundleError, match="no bundle folder"):
        RunOptions(init=tmp_path / "nowhere")
    (other / "configs/recipe.json").write_text('{"schema_version": 99}')
    with pytest.raises(RecipeError, match="newer unet_med"):
        RunOptions(init=other)


def test_a_run_starts_from_the_given_weights(tmp_path):
    cases = write_cases(tmp_path / "data", ["a"])
    other = make_bundle(tmp_path / "other", labels={1: "fluid", 2: "gray", 3: "white"})
    recipe = Recipe.load(other / "configs/recipe.json")
    plan = make_plan(cases, steps=1, ema_decay=0.0)
    still = replace(plan, optimizer=replace(plan.optimizer, learning_rate=0.0))
    train_bundle(tmp_path / "b", lambda: (recipe, still), RunOptions(init=other))
    made, given = (read_weights(root / "models/model.pt") for root in (tmp_path / "b", other))
    for key in made:
        if "running" not in key and "tracked" not in key:
            torch.testing.assert_close(made[key], given[key])
