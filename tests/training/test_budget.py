"""The length of a run fits its budget and is fixed once."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.bundles import make_plan
from unet_med.errors import InputError, RecipeError
from unet_med.networks import UNet2D
from unet_med.training import TrainingCase, WeightAverage
from unet_med.training.engine.budget import (
    FixedCosts,
    StepBudget,
    budget_from_plan,
    budget_from_time,
    last_held_out_epoch,
    seconds_since_start,
    stored_budget,
    time_training_step,
)

LOADED = time.monotonic()
CASE = (TrainingCase("a", ("a.nii",), "b.nii", "a"),)


@given(
    left=st.floats(0.1, 4000), step=st.floats(0.01, 20), validation=st.floats(0, 400),
    finalization=st.floats(0, 60),
)  # fmt: skip
def test_a_timed_run_fits_the_time(left, step, validation, finalization):
    budget = budget_from_time(left, step, FixedCosts(validation, finalization))
    n_validations = sum(budget.is_validated(number + 1) for number in range(budget.epochs))
    assert budget.steps >= 1
    if budget.steps > 1:
        assert budget.steps * step + n_validations * validation + finalization <= left
    if n_validations:
        assert budget.is_validated(budget.epochs)
        assert n_validations * validation <= 0.25 * left


def test_a_long_run_uses_its_time():
    budget = budget_from_time(900.0, 0.5, FixedCosts(8.0, 20.0))
    assert 0.9 * 900 < budget.steps * 0.5 + 8 * 8.0 + 20 <= 900
    assert sum(budget.is_validated(number) for number in range(1, budget.epochs + 1)) >= 5


def test_epochs_and_steps_are_counted_not_timed():
    budget = budget_from_plan(
        make_plan(CASE, epochs=30, batch_size=4), n_slices=50, has_validation=True
    )
    assert (budget.steps_per_epoch, budget.epochs, budget.validate_every) == (13, 30, 3)
    budget = budget_from_plan(make_plan(CASE, steps=7), n_slices=50, has_validation=False)
    assert (budget.steps, budget.validate_every) == (7, 0)
    budget = budget_from_plan(make_plan(CASE, steps=1001), n_slices=50, has_validation=True)
    assert 1001 <= budget.steps < 1001 + budget.steps_per_epoch


def test_held_out_cases_join_after_their_last_validation():
    plan = make_plan(
        (*CASE, replace(CASE[0], id="b")), validation=("b",), merge_validation_after=0.75
    )
    budget = StepBudget(5, 20, 4)
    assert last_held_out_epoch(plan, budget) == 15
    validated = [n for n in range(1, 21) if budget.is_validated(n, last=15)]
    assert validated == [3, 7, 11, 15]
    assert last_held_out_epoch(plan, StepBudget(5, 2, 1)) == 1
    assert last_held_out_epoch(plan, StepBudget(5, 1, 1)) is None
    assert last_held_out_epoch(plan, StepBudget(5, 20, 0)) is None
    assert last_held_out_epoch(replace(plan, merge_validation_after=None), budget) is None
    assert last_held_out_epoch(replace(plan, validation=()), budget) is None


def test_what_was_found_is_kept(tmp_path):
    first = stored_budget(tmp_path / "budget.json", lambda: StepBudget(3, 4, 1, 0.5))
    assert stored_budget(tmp_path / "budget.json", lambda: pytest.fail("found twice")) == first
    content = json.loads((tmp_path / "budget.json").read_text()) | {"epochs": "many"}
    (tmp_path / "budget.json").write_text(json.dumps(content))
    with pytest.raises(RecipeError, match="epochs"):
        stored_budget(tmp_path / "budget.json", lambda: first)
    (tmp_path / "budget.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        stored_budget(tmp_path / "budget.json", lambda: first)


def test_a_probe_leaves_no_trace():
    network = UNet2D(1, 2, (4,))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = torch.get_rng_state()

    now = 0.0

    def batch(step):
        nonlocal now
        now += 2.0 if step else 30.0  # the first step prepares the libraries
        return {"image": torch.full((2, 1, 8, 8), float(step)), "label": torch.zeros(2)}

    seconds = time_training_step(
        network, lambda trial: torch.optim.SGD(trial.parameters(), lr=1.0),
        batch=batch, loss=lambda trial, data: trial(data["image"]).square().mean(),
        seconds=5.0, clock=lambda: now,
    )  # fmt: skip
    assert seconds == 2.0
    assert now == 30.0 + 3 * 2.0  # at least three steps, however long they take
    assert torch.equal(torch.get_rng_state(), state)
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_the_age_of_the_process_includes_its_imports():
    assert seconds_since_start() > time.monotonic() - LOADED
    began = time.monotonic()
    first, second = seconds_since_start(), seconds_since_start()
    assert 0.0 <= second - first <= time.monotonic() - began + 1e-3


def test_the_average_of_weights_follows_them():
    network = UNet2D(1, 2, (4,))
    average = WeightAverage(network, decay=0.5)
    start = network.last.bias.detach().clone()
    with torch.no_grad():
        network.last.bias += 1.0
    average.update()
    decay = 2 / 11  # the first step's, below 0.5
    expected = decay * start + (1 - decay) * network.last.bias
    torch.testing.assert_close(average.network.last.bias, expected)
    assert not average.network.last.bias.requires_grad
    network(torch.randn(2, 1, 8, 8))
    average.update()
    moved = average.network.state_dict()
    assert moved["down.0.block.1.num_batches_tracked"] == 1
    assert not torch.equal(moved["down.0.block.1.running_mean"], torch.zeros(4))


def test_without_decay_the_average_is_the_network():
    network = UNet2D(1, 2, (4,))
    average = WeightAverage(network, decay=0.0)
    with torch.no_grad():
        network.last.weight.mul_(3.0)
    average.update()
    assert torch.equal(average.network.last.weight, network.last.weight)
