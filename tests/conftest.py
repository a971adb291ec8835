"""What concerns every test: one thread, no network, no display."""

from __future__ import annotations

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
