from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from unet_med.batch.network_lock import NetworkLock, RunStopped

SLICES = np.zeros((1, 1, 2, 2), np.float32)


class Network:
    """Counts who is inside, and writes down in which order calls were made."""

    def __init__(self):
        self.inside = 0
        self.most = 0
        self.order = []

    def of(self, name):
        def predict(slices):
            self.inside += 1
            self.most = max(self.most, self.inside)
            time.sleep(0.02)
            self.order.append(name)
            self.inside -= 1
            return slices

        return predict


def ignore(*_counts):
    pass


def test_the_case_that_came_first_goes_first_and_the_other_fills_its_pauses():
    network_lock, network = NetworkLock(), Network()

    def run(name, pause, begun):
        with network_lock.for_case(ignore) as case_lock:
            begun.set()
            predict = case_lock.wrap(network.of(name))
            for _ in range(4):
                predict(SLICES)
                time.sleep(pause)

    threads = []
    for name, pause in (("first", 0.06), ("second", 0)):
        begun = threading.Event()
        threads.append(threading.Thread(target=run, args=(name, pause, begun)))
        threads[-1].start()
        begun.wait()
    for thread in threads:
        thread.join()
    assert network.most == 1
    assert network.order[0] == "first"
    assert "second" in network.order[1:3]  # in a pause of the first
    assert sorted(network.order) == ["first"] * 4 + ["second"] * 4


def test_only_the_first_case_is_followed():
    network_lock, seen = NetworkLock(), []
    first, second = (network_lock.for_case(lambda *counts: seen.append(counts)) for _ in range(2))
    with first, second:
        first.report_progress(1, 2)
        second.report_progress(7, 9)
    assert seen == [(1, 2)]
    with second:
        second.report_progress(8, 9)
    assert seen == [(1, 2), (8, 9)]


def test_a_stopped_lock_ends_those_who_wait_and_those_who_go_on():
    network_lock = NetworkLock()
    errors = []

    def wait_for_it():
        with network_lock.for_case(ignore) as case_lock:
            try:
                case_lock.wrap(lambda slices: slices)(SLICES)
            except RunStopped as exc:
                errors.append(exc)

    with network_lock.for_case(ignore) as case_lock:
        network_lock.acquire(case_lock)
        waiting = threading.Thread(target=wait_for_it)
        waiting.start()
        network_lock.stop()
        waiting.join(5)
        network_lock.release()
        assert len(errors) == 1
        assert case_lock.waited_s == 0
        with pytest.raises(RunStopped):
            case_lock.report_progress(1, 2)


def test_a_network_that_fails_is_given_back():
    network_lock = NetworkLock()

    def fail(_slices):
        raise ZeroDivisionError

    for _ in range(2):
        with network_lock.for_case(ignore) as case_lock, pytest.raises(ZeroDivisionError):
            case_lock.wrap(fail)(SLICES)


class Starting:
    """A network that can go on by itself."""

    def __call__(self, slices):
        return slices

    def submit(self, slices):
        return lambda: slices


def test_the_case_that_came_first_alone_begins_calls_ahead():
    network_lock = NetworkLock()
    with network_lock.for_case(ignore) as first:
        guarded = first.wrap(Starting())
        assert guarded.submit(SLICES)() is SLICES
        with network_lock.for_case(ignore) as second:
            later = second.wrap(Starting())
            assert guarded.submit(SLICES)() is SLICES
            assert later.submit(SLICES) is None
            waiting = guarded.submit(SLICES)
            assert later(SLICES) is SLICES  # nobody holds the network for a call that was begun
            assert waiting() is SLICES
        assert first.wrap(lambda slices: slices).submit(SLICES) is None
        network_lock.stop()
        with pytest.raises(RunStopped):
            guarded.submit(SLICES)
