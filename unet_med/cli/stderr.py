"""What people see on standard error while a command reads cases; standard output stays free."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Progress = Callable[[int, int, str], None]

_LONGEST_NAME = 40


def say(line: str) -> None:
    """Print one line."""
    print(line, file=sys.stderr, flush=True)


def say_case(done: int, total: int, case: str) -> None:
    """Print a line for a case, as a log has it."""
    say(f"[{done}/{total}] {case}")


@contextmanager
def case_bar(task: str) -> Iterator[Progress | None]:
    """Yield what moves a bar from case to case; None where there is no terminal.

    Args:
        task: What is done, until the first case has a name.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        number = bar.add_task(task)

        def advance(done: int, total: int, case: str) -> None:
            bar.update(number, completed=done, total=total, description=case[-_LONGEST_NAME:])

        yield advance
