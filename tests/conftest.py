"""What concerns every test: one thread, no network, no display."""

from __future__ import annotations

import logging
import socket

import pytest


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Fail any test that would look up a host or connect beyond this machine."""

    def refuse(*args, **_kwargs):
        msg = f"a test tried to reach the network: {args[:1]}"
        raise AssertionError(msg)

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    """Keep OpenMP from spinning on a shared machine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def _loggers_stay_as_they_are():
    """Undo what a bundle run in this process does to loggers: it may disable or silence them."""

    def ours():
        names = [name for name in logging.root.manager.loggerDict if name.startswith("unet_med")]
        return [logging.getLogger(name) for name in ("unet_med", *names)]

    before = {logger: (logger.disabled, logger.level, logger.propagate) for logger in ours()}
    yield
    for logger in ours():
        logger.disabled, level, logger.propagate = before.get(logger, (False, 0, True))
        logger.setLevel(level)
