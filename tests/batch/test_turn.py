from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from unet_med.batch.turn import Abandoned, Turn

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
    turn, network = Turn(), Network()

    def run(name, pause, begun):
        with turn.ticket(ignore) as ticket:
            begun.set()
            predict = ticket.guard(network.of(name))
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
    turn, seen = Turn(), []
    first, second = (turn.ticket(lambda *counts: seen.append(counts)) for _ in range(2))
    with first, second:
        first.follow(1, 2)
        second.follow(7, 9)
    assert seen == [(1, 2)]
    with second:
        second.follow(8, 9)
    assert seen == [(1, 2), (8, 9)]


def test_a_stopped_turn_ends_those_who_wait_and_those_who_go_on():
    turn = Turn()
    errors = []

    def wait_for_it():
        with turn.ticket(ignore) as ticket:
            try:
                ticket.guard(lambda slices: slices)(SLICES)
            except Abandoned as exc:
                errors.append(exc)

    with turn.ticket(ignore) as ticket:
        turn.take(ticket)
        waiting = threading.Thread(target=wait_for_it)
        waiting.start()
        turn.stop()
        waiting.join(5)
        turn.give_back()
        assert len(errors) == 1
        assert ticket.waited_s == 0
        with pytest.raises(Abandoned):
            ticket.follow(1, 2)


def test_a_network_that_fails_is_given_back():
    turn = Turn()

    def fail(_slices):
        raise ZeroDivisionError

    for _ in range(2):
        with turn.ticket(ignore) as ticket, pytest.raises(ZeroDivisionError):
            ticket.guard(fail)(SLICES)


class Starting:
    """A network that can go on by itself."""

    def __call__(self, slices):
        return slices

    def start(self, slices):
        return lambda: slices


def test_the_case_that_came_first_alone_begins_calls_ahead():
    turn = Turn()
    with turn.ticket(ignore) as first:
        guarded = first.guard(Starting())
        assert guarded.start(SLICES)() is SLICES
        with turn.ticket(ignore) as second:
            later = second.guard(Starting())
            assert guarded.start(SLICES)() is SLICES
            assert later.start(SLICES) is None
            waiting = guarded.start(SLICES)
            assert later(SLICES) is SLICES  # nobody holds the network for a call that was begun
            assert waiting() is SLICES
        assert first.guard(lambda slices: slices).start(SLICES) is None
        turn.stop()
        with pytest.raises(Abandoned):
            guarded.start(SLICES)
