"""The learning rate comes down whichever end a run meets first."""

from __future__ import annotations

import time

import pytest
import torch
from ignite.engine import Engine, Events

from unet_med.networks import UNet2D
from unet_med.training import RateSchedule, WeightsSaver, warmup_cosine
from unet_med.weights import load_weights


def run(minutes, *, seconds=0.0, epochs=2, length=10):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    rates = []

    def step(_engine, _batch):
        time.sleep(seconds)
        rates.append(optimizer.param_groups[0]["lr"])

    engine = Engine(step)
    RateSchedule(optimizer, minutes=minutes).attach(engine)
    engine.run(range(length), max_epochs=epochs)
    return rates


def test_rate_by_iterations():
    rates = run(None)
    assert rates == pytest.approx([0.5 * warmup_cosine(step / 20) for step in range(20)])
    assert max(rates) == pytest.approx(0.5)
    assert rates[-1] < 0.01


def test_a_time_budget_ends_the_run_with_a_low_rate():
    rates = run(0.2 / 60, seconds=0.01, epochs=1000)
    assert 3 <= len(rates) <= 40
    assert rates[-1] < 0.1


def test_weights_are_saved_as_plain_tensors_also_when_a_run_ends_early(tmp_path):
    network = UNet2D(1, 2, (4,))
    engine = Engine(lambda _engine, _batch: None)
    WeightsSaver(network, tmp_path / "out" / "model.pt", interval=5).attach(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED(once=2), lambda e: e.terminate())
    engine.run(range(3), max_epochs=50)
    tensors = torch.load(tmp_path / "out" / "model.pt", weights_only=True)
    assert set(tensors) == set(network.state_dict())
    fresh = UNet2D(1, 2, (4,))
    load_weights(fresh, tmp_path / "out" / "model.pt")
    assert torch.equal(fresh.last.weight, network.last.weight)
