"""Show progress on standard error: bars on a terminal, one plain line per case in a log."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from unet_med.cli.format import pluralize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress

    from unet_med._progress import CaseProgress
    from unet_med.backends import Execution
    from unet_med.batch import Case, Listener, Outcome

_MAX_NAME_LENGTH = 40
_PACE_WINDOW = 51


_MIN_CASES_FOR_PACE = 4
"""Cases that must have ended before the time left is estimated."""


@contextmanager
def batch_progress() -> Iterator[Listener]:
    """Yield a listener that shows a batch on standard error."""
    if not sys.stderr.isatty():
        yield LogProgress()
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
        yield BarProgress(progress)


class LogProgress:
    """Print one line per case and its warnings; a closed pipe stops no batch."""

    def __init__(self) -> None:
        self._n_cases = 0
        self._n_ended = 0
        self._end_times: deque[float] = deque(maxlen=_PACE_WINDOW)

    def batch_started(self, n_cases: int, *, rule: str, execution: Execution) -> None:
        """Say how many cases there are and how they are run."""
        self._n_cases = n_cases
        self._end_times.append(time.monotonic())
        self.print_line(f"{pluralize(n_cases, 'case')}: {rule}" if n_cases else rule)
        self.print_line(
            f"{execution.backend} {execution.precision} on {execution.device}, "
            f"{pluralize(execution.threads, 'thread')}: {execution.reason}"
        )

    def case_started(self, case: Case, number: int) -> None:
        """Say nothing; a log needs no beginnings."""

    def case_progress(self, done: int, total: int) -> None:
        """Say nothing; a log needs no slices."""

    def case_ended(self, outcome: Outcome) -> None:
        """Say how it ended."""
        from unet_med.batch import Status

        self._n_ended += 1
        self._end_times.append(time.monotonic())
        of = f"/{self._n_cases}" if self._n_cases else ""  # a watch knows no last case
        head = f"[{self._n_ended}{of}] {outcome.case.key}:"
        if outcome.status is Status.FAILED:
            self.print_line(f"{head} FAILED: {outcome.error}")
        elif outcome.status is Status.SKIPPED:
            self.print_line(f"{head} up to date")
        elif outcome.status is Status.PENDING:
            self.print_line(f"{head} to be done: {outcome.detail}")
        else:
            done = f"done in {outcome.seconds['total']:.1f} s, {outcome.mask}"
            self.print_line(f"{head} {done}{self._time_left()}")
        for warning in outcome.warnings:
            self.print_line(f"{head} warning: {warning}")

    def _time_left(self) -> str:
        """Estimate the time left from the pace of the last cases."""
        if not len(self._end_times) > _MIN_CASES_FOR_PACE or self._n_ended >= self._n_cases:
            return ""
        pace = (self._end_times[-1] - self._end_times[0]) / (len(self._end_times) - 1)
        seconds = round(pace * (self._n_cases - self._n_ended))
        return f"; about {timedelta(seconds=seconds)} left"

    def print_line(self, line: str) -> None:
        """Print one line to standard error."""
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)


class BarProgress(LogProgress):
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


class Result(Protocol):
    """A result that a command prints."""

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready content."""

    def summary(self) -> str:
        """Return a few lines of text."""


def print_result(result: Result, *, as_json: bool) -> None:
    """Print a result to standard output, as text or as JSON."""
    print(json.dumps(result.as_dict(), indent=2) if as_json else result.summary())


def print_stderr(line: str) -> None:
    """Print one line."""
    print(line, file=sys.stderr, flush=True)


def print_case(done: int, total: int, case: str) -> None:
    """Print a line for a case, as a log has it."""
    print_stderr(f"[{done}/{total}] {case}")


@contextmanager
def case_progress_bar(task: str) -> Iterator[CaseProgress | None]:
    """Yield a function that moves a bar from case to case; None where there is no terminal.

    Args:
        task: Text beside the bar until the first case has a name.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as ProgressBar

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with ProgressBar(*columns, console=Console(stderr=True), transient=True) as bar:
        number = bar.add_task(task)

        def advance(done: int, total: int, case: str) -> None:
            bar.update(number, completed=done, total=total, description=case[-_MAX_NAME_LENGTH:])

        yield advance
