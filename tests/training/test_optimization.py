"""The learning rate over the steps of a run."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine

from tests.training.test_target_encoding import encoding_of
from unet_med.training import DiceCrossEntropy, LearningRateSchedule, warmup_cosine


def rates_of(schedule, *, start=0):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    rates = []
    engine = Engine(lambda _engine, _batch: rates.append(optimizer.param_groups[0]["lr"]))
    LearningRateSchedule(optimizer, steps=20, schedule=schedule).attach(engine)
    if start:
        engine.load_state_dict({"iteration": start, "epoch_length": 10, "max_epochs": 2})
    engine.run(range(10), max_epochs=2)
    return rates


def test_rates_by_steps():
    rates = rates_of("cosine")
    assert rates == pytest.approx([0.5 * warmup_cosine(step / 20) for step in range(20)])
    assert max(rates) == pytest.approx(0.5)
    assert rates[-1] < 0.01
    assert rates_of("poly") == pytest.approx([0.5 * (1 - step / 20) ** 0.9 for step in range(20)])
    assert rates_of("constant") == [0.5] * 20


def test_a_run_that_goes_on_has_the_rates_it_would_have_had():
    assert rates_of("cosine", start=10) == rates_of("cosine")[10:]


def test_a_loss_is_told_how_much_of_the_run_is_done():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    loss = DiceCrossEntropy(encoding_of(), activation="softmax", balance=1.0)
    seen = []
    engine = Engine(lambda _engine, _batch: seen.append(loss.progress))
    LearningRateSchedule(optimizer, steps=20, loss=loss).attach(engine)
    engine.run(range(10), max_epochs=2)
    assert seen == pytest.approx([step / 20 for step in range(20)])
