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
from unet_med.training.pace import (
    Costs,
    Pace,
    fixed_pace,
    last_apart,
    probe,
    seconds_since_start,
    stated_pace,
    timed_pace,
)

CASE = (TrainingCase("a", ("a.nii",), "b.nii", "a"),)


@given(
    left=st.floats(0.1, 4000), step=st.floats(0.01, 20), validation=st.floats(0, 400),
    ending=st.floats(0, 60),
)  # fmt: skip
def test_a_timed_run_fits_the_time(left, step, validation, ending):
    pace = timed_pace(left, step, Costs(validation, ending))
    n_validations = sum(pace.is_validated(number + 1) for number in range(pace.rounds))
    assert pace.steps >= 1
    if pace.steps > 1:
        assert pace.steps * step + n_validations * validation + ending <= left
    if n_validations:
        assert pace.is_validated(pace.rounds)
        assert n_validations * validation <= 0.25 * left


def test_a_long_run_uses_its_time():
    pace = timed_pace(900.0, 0.5, Costs(8.0, 20.0))
    assert 0.9 * 900 < pace.steps * 0.5 + 8 * 8.0 + 20 <= 900
    assert sum(pace.is_validated(number) for number in range(1, pace.rounds + 1)) >= 5


def test_epochs_and_steps_are_counted_not_timed():
    pace = stated_pace(make_plan(CASE, epochs=30, batch=4), n_slices=50, has_validation=True)
    assert (pace.steps_per_round, pace.rounds, pace.validate_every) == (13, 30, 3)
    pace = stated_pace(make_plan(CASE, steps=7), n_slices=50, has_validation=False)
    assert (pace.steps, pace.validate_every) == (7, 0)
    pace = stated_pace(make_plan(CASE, steps=1001), n_slices=50, has_validation=True)
    assert 1001 <= pace.steps < 1001 + pace.steps_per_round


def test_held_out_cases_join_after_their_last_validation():
    plan = make_plan((*CASE, replace(CASE[0], id="b")), validation=("b",), join_after=0.75)
    pace = Pace(5, 20, 4)
    assert last_apart(plan, pace) == 15
    validated = [n for n in range(1, 21) if pace.is_validated(n, last=15)]
    assert validated == [3, 7, 11, 15]
    assert last_apart(plan, Pace(5, 2, 1)) == 1
    assert last_apart(plan, Pace(5, 1, 1)) is None
    assert last_apart(plan, Pace(5, 20, 0)) is None
    assert last_apart(replace(plan, join_after=None), pace) is None
    assert last_apart(replace(plan, validation=()), pace) is None


def test_what_was_found_is_kept(tmp_path):
    first = fixed_pace(tmp_path / "pace.json", lambda: Pace(3, 4, 1, 0.5))
    assert fixed_pace(tmp_path / "pace.json", lambda: pytest.fail("found twice")) == first
    content = json.loads((tmp_path / "pace.json").read_text()) | {"rounds": "many"}
    (tmp_path / "pace.json").write_text(json.dumps(content))
    with pytest.raises(RecipeError, match="rounds"):
        fixed_pace(tmp_path / "pace.json", lambda: first)
    (tmp_path / "pace.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        fixed_pace(tmp_path / "pace.json", lambda: first)


def test_a_probe_leaves_no_trace():
    network = UNet2D(1, 2, (4,))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = torch.get_rng_state()

    def batch(step):
        time.sleep(0.02)
        return {"image": torch.full((2, 1, 8, 8), float(step)), "label": torch.zeros(2)}

    seconds = probe(
        network, lambda logits, _: logits.square().mean(),
        lambda trial: torch.optim.SGD(trial.parameters(), lr=1.0),
        batch=batch, forward=lambda images, net: net(images), seconds=0.2,
    )  # fmt: skip
    assert 0.02 < seconds < 0.5
    assert torch.equal(torch.get_rng_state(), state)
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_the_age_of_the_process_includes_its_imports():
    assert seconds_since_start() > 0.1
    before = seconds_since_start()
    time.sleep(0.05)
    assert 0.03 < seconds_since_start() - before < 1.0


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
