"""Feeds damaged files to the targets and says how each input ended."""

from __future__ import annotations

import random
import signal
import threading
import time
import traceback
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unet_med.errors import UnetMedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.fuzz.targets import Target

SECONDS_PER_INPUT = 20
"""More than any input of a few kilobytes may take on a busy machine."""


class InputTimeoutError(BaseException):
    """Raised by the clock; nothing catches it on the way."""


@dataclass
class FuzzReport:
    """How inputs ended, by target, and everything that is not one of the two good ends."""

    outcomes: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")

    def __str__(self) -> str:
        names = sorted({name for name, _ in self.outcomes})
        kinds = ("accepted", "refused", "fault")
        rows = [f"{'target':<14}" + "".join(f"{kind:>9}" for kind in kinds)]
        for name in [*names, "all"]:
            counts = [
                sum(n for (t, k), n in self.outcomes.items() if k == kind and name in (t, "all"))
                for kind in kinds
            ]
            rows.append(f"{name:<14}" + "".join(f"{count:>9}" for count in counts))
        return "\n".join([*rows, f"slowest {self.slowest[0]:.2f} s ({self.slowest[1]})"])


def feed(targets: Sequence[Target], numbers: range, folder: Path, *, seed: int = 0) -> FuzzReport:
    """Make and feed the inputs of some numbers; equal seeds and numbers give equal inputs."""
    chosen = [target for target in targets for _ in range(target.share)]
    report = FuzzReport()
    folder.mkdir(exist_ok=True)
    for number in numbers:
        rng = random.Random(f"{seed}:{number}")
        target = rng.choice(chosen)
        data = target.damage(rng.choice(target.seeds), rng)
        began = time.monotonic()
        end = _outcome(target, data, folder)
        seconds = time.monotonic() - began
        kind = end.partition(":")[0]
        report.outcomes[target.name, kind] += 1
        report.slowest = max(report.slowest, (seconds, f"{target.name} {seed}:{number}"))
        if kind == "fault":
            report.faults.append(f"{target.name} {seed}:{number} {end}")
    return report


def _outcome(target: Target, data: bytes, folder: Path) -> str:
    try:
        with _time_limit(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.run(data, folder)
    except UnetMedError as exc:
        text = str(exc)
        fine = text.isprintable() or "\n" not in text
        return "refused" if fine and "Traceback" not in text else f"fault: {text!r}"
    except (Exception, InputTimeoutError):  # noqa: BLE001 - these are what is looked for
        return f"fault: {traceback.format_exc(limit=-4)}"
    return "accepted"


@contextmanager
def _time_limit() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_signal_and_frame: object) -> None:
        raise InputTimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_PER_INPUT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
