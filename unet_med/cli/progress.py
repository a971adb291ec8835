"""How a batch is followed: a bar on a terminal, one plain line a case in a log."""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from unet_med.batch import Status
from unet_med.cli.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress

    from unet_med.backends import Execution
    from unet_med.batch import Case, Listener, Outcome


_REMEMBERED = 51
_FEWEST = 4
"""From so many cases on, their pace says something about the rest."""


@contextmanager
def batch_progress() -> Iterator[Listener]:
    """Yield what follows a batch on standard error."""
    if not sys.stderr.isatty():
        yield PlainLines()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bars(progress)


class PlainLines:
    """One line per case, and what a reader should know; a closed pipe stops no batch."""

    def __init__(self) -> None:
        self._n_cases = 0
        self._ended = 0
        self._last: deque[float] = deque(maxlen=_REMEMBERED)

    def batch_started(self, n_cases: int, *, rule: str, execution: Execution) -> None:
        """Say how many cases there are and how they are run."""
        self._n_cases = n_cases
        self._last.append(time.monotonic())
        self.say(f"{counted(n_cases, 'case')}: {rule}" if n_cases else rule)
        self.say(
            f"{execution.backend} {execution.precision} on {execution.device}, "
            f"{counted(execution.threads, 'thread')}: {execution.reason}"
        )

    def case_started(self, case: Case, number: int) -> None:
        """Say nothing; a log needs no beginnings."""

    def case_progress(self, done: int, total: int) -> None:
        """Say nothing; a log needs no slices."""

    def case_ended(self, outcome: Outcome) -> None:
        """Say how it ended."""
        self._ended += 1
        self._last.append(time.monotonic())
        of = f"/{self._n_cases}" if self._n_cases else ""  # a watch knows no last case
        head = f"[{self._ended}{of}] {outcome.case.key}:"
        if outcome.status is Status.FAILED:
            self.say(f"{head} FAILED: {outcome.error}")
        elif outcome.status is Status.SKIPPED:
            self.say(f"{head} up to date")
        elif outcome.status is Status.PENDING:
            self.say(f"{head} to be done: {outcome.why}")
        else:
            done = f"done in {outcome.seconds['total']:.1f} s, {outcome.mask}"
            self.say(f"{head} {done}{self._time_left()}")
        for warning in outcome.warnings:
            self.say(f"{head} warning: {warning}")

    def _time_left(self) -> str:
        """Guess from the pace of the last cases when the rest will have ended."""
        if not len(self._last) > _FEWEST or self._ended >= self._n_cases:
            return ""
        pace = (self._last[-1] - self._last[0]) / (len(self._last) - 1)
        seconds = round(pace * (self._n_cases - self._ended))
        return f"; about {timedelta(seconds=seconds)} left"

    def say(self, line: str) -> None:
        """Print one line to standard error."""
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)


class Bars(PlainLines):
    """A bar for the cases and one for the slices of the current case."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._cases = progress.add_task("cases", total=None)
        self._slices = progress.add_task("slices", total=None, visible=False)

    def batch_started(self, n_cases: int, *, rule: str, execution: Execution) -> None:
        """Set the length of the bar."""
        super().batch_started(n_cases, rule=rule, execution=execution)
        self._progress.update(self._cases, total=n_cases)

    def case_started(self, case: Case, number: int) -> None:
        """Name the case beside its bar."""
        super().case_started(case, number)
        name = case.key if len(case.key) <= 40 else f"…{case.key[-39:]}"  # noqa: PLR2004 - fits
        self._progress.reset(self._slices, description=name, visible=True)

    def case_progress(self, done: int, total: int) -> None:
        """Move the bar of slices."""
        self._progress.update(self._slices, completed=done, total=total)

    def case_ended(self, outcome: Outcome) -> None:
        """Move the bar of cases."""
        super().case_ended(outcome)
        self._progress.advance(self._cases)
        self._progress.update(self._slices, visible=False)
