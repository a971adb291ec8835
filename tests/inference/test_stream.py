"""The order in which a network is given batches and logits are taken; constant slices run once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unet_med.geometry import Geometry
from unet_med.inference import SlicePipeline, iter_batches, iter_logits
from unet_med.inference.stream import ConstantSliceCache
from unet_med.preprocessing import Normalization
from unet_med.recipe import Channel, NetworkRecipe, Recipe
from unet_med.recipe.sliding_window import SlidingWindow

RECIPE = Recipe(
    name="r",
    network=NetworkRecipe(1, 2, (4, 8)),
    channels=(Channel("T1", "MR", Normalization("zscore", "all", -5.0, 5.0)),),
    labels={1: "a"},
)


PIPELINE = replace(
    SlicePipeline.for_scan(RECIPE, Geometry((6, 5, 40), np.eye(4))),
    batch_size=2,
    batch_invariant=True,
)


FLIPS = ((False, False), (False, True), (True, False))


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

    def submit(self, slices):
        number = sum(one.startswith("submit") for one in self.seen)
        self.seen.append(f"submit {number}")
        self.running += 1

        def result():
            self.seen.append(f"result {number}")
            self.running -= 1
            if number == self.fails_at:
                raise ZeroDivisionError
            return self.logits(slices)

        return result

    @staticmethod
    def logits(slices):
        return np.repeat(slices, 2, axis=1) + np.float32(1)


def batches(n, *, constant=()):
    rng = np.random.default_rng(0)
    for index in range(n):
        batch = rng.normal(size=(2, 1, 5, 6)).astype(np.float32)
        if index in constant:
            batch[1] = 3
        yield 2 * index, batch


def expected(n, **options):
    return [(start, Network.logits(batch)) for start, batch in batches(n, **options)]


def check_equal(found, wanted):
    for (start, logits), (other, its) in zip(found, wanted, strict=True):
        assert start == other
        np.testing.assert_array_equal(logits, its)


def test_the_next_batch_is_submitted_before_the_last_is_taken():
    network = Network()
    found = []
    for item in iter_logits(batches(4), PIPELINE, network):
        found.append(item)
        assert network.running == (1 if len(found) < 4 else 0)
    check_equal(found, expected(4))
    assert network.seen == [
        "submit 0", "submit 1", "result 0", "submit 2", "result 1", "submit 3", "result 2",
        "result 3",
    ]  # fmt: skip


def test_mirrored_runs_are_submitted_ahead_where_one_call_holds_them():
    """Logits of a network that sees columns, so that mirrored runs differ."""

    class Uneven(Network):
        @staticmethod
        def logits(slices):
            return np.concatenate([slices, np.cumsum(slices, axis=-1)], axis=1)

    pipeline, network = replace(PIPELINE, flips=FLIPS, batch_size=6), Uneven()
    found = list(iter_logits(batches(3), pipeline, network))
    assert network.seen[:3] == ["submit 0", "submit 1", "result 0"]
    wanted = [(start, pipeline.run_network(batch, Uneven())) for start, batch in batches(3)]
    check_equal(found, wanted)
    in_parts = replace(pipeline, batch_size=4)
    check_equal(found, list(iter_logits(batches(3), in_parts, Uneven())))


def test_constant_slices_are_waited_for_and_run_once():
    network = Network()
    found = list(iter_logits(batches(4, constant=(1, 2)), PIPELINE, network))
    check_equal(found, expected(4, constant=(1, 2)))
    assert network.seen == ["submit 0", "result 0", "call", "call", "submit 1", "result 1"]


@pytest.mark.parametrize(
    ("pipeline", "asynchronous"),
    [
        (PIPELINE, False),
        (replace(PIPELINE, batch_invariant=False), True),
        (replace(PIPELINE, flips=FLIPS), True),
    ],
    ids=["not wanted", "logits depend on the batch", "several calls a batch"],
)
def test_nothing_is_submitted_ahead_where_it_must_not(pipeline, asynchronous):
    network = Network()
    found = list(iter_logits(batches(3), pipeline, network, asynchronous=asynchronous))
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
        (SlidingWindow((2, 3), 0.5, max_pixels=1), 16, 1),  # 16 windows a slice
        (SlidingWindow((2, 3), 0.5, max_pixels=1), 32, 2),
        (SlidingWindow((4, 6), 0.5, max_pixels=1), 8, 4),  # 2 windows a slice
        (SlidingWindow((2, 3), 0.5, max_pixels=30), 16, 16),  # none
    ],
)
def test_no_more_slices_are_in_hand_than_their_windows_fill_a_call(window, batch, step):
    pipeline, source = replace(PIPELINE, window=window, batch_size=batch), Scan()
    network = Network()
    starts = [start for start, _ in iter_logits(iter_batches(source, pipeline), pipeline, network)]
    assert starts == list(range(0, 40, step))
    assert set(source.asked) <= {step, 40 % step}
    assert replace(pipeline, step=3).slices_per_step == 3


def counting_network(calls):
    """A network whose logits name the call and the place in it."""

    def run(slices):
        calls.append(len(slices))
        mean = slices.mean((1, 2, 3), keepdims=True)
        return np.broadcast_to(mean, (len(slices), 2, *slices.shape[2:])).copy()

    return run


def slices_of(*values):
    """Slices (2, 3, 4): a number is a constant one, None one with content."""
    rng = np.random.default_rng(0)
    return np.stack(
        [
            rng.normal(size=(2, 3, 4)) if value is None else np.full((2, 3, 4), value)
            for value in values
        ]
    ).astype(np.float32)


def test_equal_constant_slices_are_run_once():
    calls, constant = [], ConstantSliceCache()
    run = counting_network(calls)
    batches = [
        (slices_of(-1, -1, None, -1), 2),
        (slices_of(-1, -1), None),  # known from before: no call
        (slices_of(None, None), 2),
        (slices_of(-1, 5, 5, -1), 1),
        (slices_of(-1), None),
        (slices_of(5, None), 2),  # the last one is kept, and no other
    ]
    for batch, n_run in batches:
        before = len(calls)
        np.testing.assert_array_equal(constant.run(batch, run), counting_network([])(batch))
        assert calls[before:] == ([] if n_run is None else [n_run])


def test_channels_may_be_constant_in_different_values():
    calls, constant = [], ConstantSliceCache()
    batch = slices_of(0, 0, 0)
    batch[:2, 1] = 3
    np.testing.assert_array_equal(
        constant.run(batch, counting_network(calls)), counting_network([])(batch)
    )
    assert calls == [2]


def test_a_single_other_voxel_makes_a_slice_not_constant():
    for place in np.ndindex(2, 3, 4):
        calls, constant = [], ConstantSliceCache()
        batch = slices_of(1, 1)
        batch[(1, *place)] = 2
        np.testing.assert_array_equal(
            constant.run(batch, counting_network(calls)), counting_network([])(batch)
        )
        assert calls == [2]


def test_what_is_handed_out_is_not_what_is_kept():
    constant = ConstantSliceCache()
    batch = slices_of(4)
    first = constant.run(batch, counting_network([]))
    expected = first.copy()
    first[:] = 9
    again = constant.run(slices_of(4, 4), counting_network([]))
    np.testing.assert_array_equal(again, np.concatenate([expected, expected]))
    again[:] = 9
    np.testing.assert_array_equal(constant.run(batch, counting_network([])), expected)
