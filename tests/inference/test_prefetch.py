from __future__ import annotations

import gc
import threading
import time
import weakref
from contextlib import suppress

import pytest

from unet_med.inference import Prefetch, StageTimer


def workers():
    return [thread for thread in threading.enumerate() if thread.name == "unet_med-prefetch"]


@pytest.mark.parametrize("depth", [0, 1, 2, 50])
def test_items_come_in_order(depth):
    assert list(Prefetch(iter(range(20)), depth=depth)) == list(range(20))
    assert not workers()


@pytest.mark.parametrize("depth", [0, 2])
def test_the_next_item_is_made_while_one_is_used(depth):
    made = threading.Event()

    def items():
        yield 1
        made.set()
        yield 2

    for item in Prefetch(items(), depth=depth):
        if item == 1:
            assert made.wait(timeout=5)


def test_no_more_is_made_ahead_than_allowed():
    made = []

    def items():
        for n in range(100):
            made.append(n)
            yield n

    stream = iter(Prefetch(items(), depth=2))
    next(stream)
    time.sleep(0.05)
    assert len(made) <= 4  # one used, two waiting, one in hand
    stream.close()
    assert not workers()


def test_without_depth_two_items_are_alive_at_a_time():
    alive, most = weakref.WeakSet(), []

    class Item:
        pass

    def items():
        for _ in range(20):
            item = Item()
            alive.add(item)
            most.append(len(alive))
            yield item
            del item

    for item in Prefetch(items(), depth=0):
        time.sleep(0.002)  # time enough to make more
        del item
    assert len(most) == 20
    assert max(most) == 2


def test_errors_arrive_after_the_items_before_them():
    def items():
        yield 1
        yield 2
        msg = "the file ends here"
        raise ValueError(msg)

    seen = []
    with pytest.raises(ValueError, match="the file ends here"):
        seen.extend(iter_into(Prefetch(items()), seen))
    assert seen == [1, 2]
    assert not workers()


def test_an_error_that_was_handled_leaves_nothing_behind():
    class Item:
        pass

    item = Item()
    known = weakref.ref(item)

    def items(mine):
        yield 1
        msg = f"the file ends here, at {mine}"
        raise ValueError(msg)

    gc.disable()
    try:
        with suppress(ValueError):
            list(Prefetch(items(item)))
        del item
        assert known() is None
    finally:
        gc.enable()


def iter_into(items, seen):
    for item in items:
        seen.append(item)
    return []


def test_leaving_early_stops_the_thread():
    made = []

    def items():
        for n in range(1000):
            made.append(n)
            yield n

    for item in Prefetch(items(), depth=1):
        if item == 3:
            break
    deadline = time.monotonic() + 5
    while workers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not workers()
    assert len(made) < 10


def test_leaving_early_closes_what_is_iterated_though_somebody_has_it():
    closed = threading.Event()

    def items():
        try:
            yield from range(1000)
        finally:
            closed.set()

    kept = Prefetch(items())
    for item in kept:
        if item == 3:
            break
    assert closed.wait(timeout=5)
    assert not workers()


def test_the_clock_adds_up_and_counts_failures_too():
    timer = StageTimer()
    for _ in range(2):
        with timer.stage("a"):
            time.sleep(0.01)
    with pytest.raises(ZeroDivisionError), timer.stage("b"):
        time.sleep(0.01 / (len(timer.seconds) - 1))
    for _ in timer.busy("c", range(3)):
        time.sleep(0.01)
    assert timer.seconds["a"] >= 0.02
    assert timer.seconds["b"] > 0
    assert timer.seconds["c"] >= 0.03
