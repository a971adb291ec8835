"""Fixtures of every test: one thread, no network, no display."""

from __future__ import annotations

import logging
import signal
import socket

import pytest

LOOPBACK = "127.0.0.1"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Fail any test that would look up a host or connect beyond this machine."""

    look_up, connect = socket.getaddrinfo, socket.socket.connect

    def refuse_beyond(host):
        if host != LOOPBACK:
            msg = f"a test tried to reach the network: {host}"
            raise AssertionError(msg)

    def guarded_look_up(host, *args, **kwargs):
        refuse_beyond(host)
        return look_up(host, *args, **kwargs)

    def guarded_connect(self, address):
        if isinstance(address, tuple):  # others are files: pipes between processes
            refuse_beyond(address[0])
        return connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
    monkeypatch.setattr(socket.socket, "connect", guarded_connect)


@pytest.fixture(autouse=True, scope="session")
def _interruptible():
    """Take SIGINT as Python does: a shell's background jobs start with it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    """Keep OpenMP from spinning on a shared machine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def _loggers_are_fresh():
    """Undo what a bundle run in this process did to our loggers: it may disable or silence them."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("unet_med")]
    for logger in map(logging.getLogger, ["unet_med", *names]):
        logger.disabled = False
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


class _MessageList(logging.Handler):
    """Keeps messages."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


@pytest.fixture
def messages_of():
    """Return a function that gives the growing list of what one logger says.

    It listens at the logger itself: bundle runs of other tests rearrange the loggers above it.
    """
    listening = []

    def listen(name):
        logger, handler = logging.getLogger(name), _MessageList()
        logger.addHandler(handler)
        listening.append((logger, handler))
        return handler.messages

    yield listen
    for logger, handler in listening:
        logger.removeHandler(handler)
