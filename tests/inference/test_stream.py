"""The order in which a network is given batches, and in which their logits are taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unet_med.geometry import Geometry
from unet_med.inference import SlicePipeline, iter_batches, iter_logits
from unet_med.preprocessing import Normalization
from unet_med.recipe import Channel, NetworkRecipe, Recipe
from unet_med.windows import WindowRule

RECIPE = Recipe(
    name="r",
    network=NetworkRecipe(1, 2, (4, 8)),
    channels=(Channel("T1", "MR", Normalization("zscore", "all", -5.0, 5.0)),),
    labels={1: "a"},
)
PIPELINE = replace(
    SlicePipeline.for_scan(RECIPE, Geometry((6, 5, 40), np.eye(4))), batch=2, batch_free=True
)
MIRRORS = ((False, False), (False, True), (True, False))


class Network:
    """Goes on by itself and writes down what happened; logits name the slice's mean."""

    def __init__(self, *, fails_at=None):
        self.seen = []
        self.running = 0
        self.fails_at = fails_at

    def __call__(self, slices):
        self.seen.append("call")
        assert self.running == 0
        return self.logits(slices)

    def start(self, slices):
        number = sum(one.startswith("start") for one in self.seen)
        self.seen.append(f"start {number}")
        self.running += 1

        def finish():
            self.seen.append(f"finish {number}")
            self.running -= 1
            if number == self.fails_at:
                raise ZeroDivisionError
            return self.logits(slices)

        return finish

    @staticmethod
    def logits(slices):
        return np.repeat(slices, 2, axis=1) + np.float32(1)


def batches(n, *, blank=()):
    rng = np.random.default_rng(0)
    for index in range(n):
        batch = rng.normal(size=(2, 1, 5, 6)).astype(np.float32)
        if index in blank:
            batch[1] = 3
        yield 2 * index, batch


def expected(n, **options):
    return [(start, Network.logits(batch)) for start, batch in batches(n, **options)]


def check_equal(found, wanted):
    for (start, logits), (other, its) in zip(found, wanted, strict=True):
        assert start == other
        np.testing.assert_array_equal(logits, its)


def test_the_next_batch_is_begun_before_the_last_is_taken():
    network = Network()
    found = []
    for item in iter_logits(batches(4), PIPELINE, network):
        found.append(item)
        assert network.running == (1 if len(found) < 4 else 0)
    check_equal(found, expected(4))
    assert network.seen == [
        "start 0", "start 1", "finish 0", "start 2", "finish 1", "start 3", "finish 2", "finish 3",
    ]  # fmt: skip


def test_mirrored_runs_are_begun_ahead_where_one_call_holds_them():
    """Logits of a network that sees columns, so that mirrored runs differ."""

    class Uneven(Network):
        @staticmethod
        def logits(slices):
            return np.concatenate([slices, np.cumsum(slices, axis=-1)], axis=1)

    pipeline, network = replace(PIPELINE, mirrors=MIRRORS, batch=6), Uneven()
    found = list(iter_logits(batches(3), pipeline, network))
    assert network.seen[:3] == ["start 0", "start 1", "finish 0"]
    wanted = [(start, pipeline.run_network(batch, Uneven())) for start, batch in batches(3)]
    check_equal(found, wanted)
    in_parts = replace(pipeline, batch=4)
    check_equal(found, list(iter_logits(batches(3), in_parts, Uneven())))


def test_blank_slices_are_waited_for_and_run_once():
    network = Network()
    found = list(iter_logits(batches(4, blank=(1, 2)), PIPELINE, network))
    check_equal(found, expected(4, blank=(1, 2)))
    assert network.seen == ["start 0", "finish 0", "call", "call", "start 1", "finish 1"]


@pytest.mark.parametrize(
    ("pipeline", "ahead"),
    [
        (PIPELINE, False),
        (replace(PIPELINE, batch_free=False), True),
        (replace(PIPELINE, mirrors=MIRRORS), True),
    ],
    ids=["not wanted", "logits depend on the batch", "several calls a batch"],
)
def test_nothing_is_begun_ahead_where_it_must_not(pipeline, ahead):
    network = Network()
    found = list(iter_logits(batches(3), pipeline, network, ahead=ahead))
    assert [start for start, _ in found] == [0, 2, 4]
    assert set(network.seen) == {"call"}


def test_a_run_that_is_left_early_leaves_nothing_running():
    network = Network()
    logits = iter_logits(batches(4), PIPELINE, network)
    next(logits)
    assert network.running == 1
    logits.close()
    assert network.running == 0


def test_a_call_that_fails_ends_the_run_at_its_place():
    network = Network(fails_at=1)
    logits = iter_logits(batches(4), PIPELINE, network)
    check_equal([next(logits)], expected(1))
    with pytest.raises(ZeroDivisionError):
        next(logits)
    assert network.running == 0


def test_logits_of_another_size_are_refused():
    class Small(Network):
        @staticmethod
        def logits(slices):
            return np.zeros((len(slices), 2, 1, 1), np.float32)

    from unet_med.errors import WeightsError

    with pytest.raises(WeightsError, match="one logit per label and pixel"):
        list(iter_logits(batches(2), PIPELINE, Small()))


class Scan:
    """A source that counts how many slices are asked for at once."""

    n_slices = 40

    def __init__(self):
        self.asked = []

    def read(self, start, stop):
        self.asked.append(stop - start)
        return np.random.default_rng(start).normal(size=(stop - start, 1, 5, 6)).astype(np.float32)


@pytest.mark.parametrize(
    ("window", "batch", "step"),
    [
        (WindowRule((2, 3), 0.5, max_pixels=1), 16, 1),  # 16 windows a slice
        (WindowRule((2, 3), 0.5, max_pixels=1), 32, 2),
        (WindowRule((4, 6), 0.5, max_pixels=1), 8, 4),  # 2 windows a slice
        (WindowRule((2, 3), 0.5, max_pixels=30), 16, 16),  # none
    ],
)
def test_no_more_slices_are_in_hand_than_their_windows_fill_a_call(window, batch, step):
    pipeline, source = replace(PIPELINE, window=window, batch=batch), Scan()
    network = Network()
    starts = [start for start, _ in iter_logits(iter_batches(source, pipeline), pipeline, network)]
    assert starts == list(range(0, 40, step))
    assert set(source.asked) <= {step, 40 % step}
    assert replace(pipeline, step=3).slices_per_step == 3
