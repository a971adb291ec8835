"""Report how cases and a batch ended: failure reasons, outcomes, the report, and listeners."""

from __future__ import annotations

import errno
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from unet_med.batch.ledger import Status
from unet_med.errors import (
    BundleError,
    GeometryError,
    InputError,
    MissingExtraError,
    OutputError,
    RecipeError,
    UnetMedError,
    VolumeError,
    WeightsError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from unet_med.backends import Execution
    from unet_med.cases.case import Case

KILLED = "the case killed the process twice (out of memory?): --retry-failed tries it again"


STOPPED = "stopped by the user"


_MEMORY_TEXTS = ("bad_alloc", "not enough memory", "out of memory", "cannot allocate memory")


class FailureReason(StrEnum):
    """Kinds of failure, for counting."""

    SCAN = "scan cannot be read"
    GEOMETRY = "geometry does not fit"
    INPUT = "input cannot be used"
    OUTPUT = "mask cannot be written"
    BUNDLE = "bundle cannot be used"
    MEMORY = "out of memory"
    KILLED = "killed the process"
    STOPPED = "stopped"
    UNEXPECTED = "unexpected error"


_REASONS: tuple[tuple[type[Exception], FailureReason], ...] = (
    (VolumeError, FailureReason.SCAN),
    (GeometryError, FailureReason.GEOMETRY),
    (InputError, FailureReason.INPUT),
    (OutputError, FailureReason.OUTPUT),
    (BundleError, FailureReason.BUNDLE),
    (RecipeError, FailureReason.BUNDLE),
    (WeightsError, FailureReason.BUNDLE),
    (MissingExtraError, FailureReason.BUNDLE),
)
"""The first that fits; the narrower come first."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed case: one line for people and the kind."""

    error: str
    reason: FailureReason


def failure_of(exc: Exception) -> Failure:
    """Put an error into words."""
    text = " ".join(str(exc).split())
    if _is_memory(exc, text):
        return Failure(
            f"not enough memory: {text or 'the scan is too large here'}", FailureReason.MEMORY
        )
    if isinstance(exc, UnetMedError):
        fitting = (reason for kind, reason in _REASONS if isinstance(exc, kind))
        return Failure(text, next(fitting, FailureReason.UNEXPECTED))
    unexpected = f"{type(exc).__name__}: {text} (unexpected; --debug shows where)"
    return Failure(unexpected, FailureReason.UNEXPECTED)


def _is_memory(exc: Exception, text: str) -> bool:
    """Libraries in C++ say it in words only."""
    if isinstance(exc, MemoryError) or getattr(exc, "errno", None) == errno.ENOMEM:
        return True
    return isinstance(exc, RuntimeError) and any(word in text.lower() for word in _MEMORY_TEXTS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Report how one case ended.

    Attributes:
        case: The case.
        status: ``done``, ``failed`` or ``skipped``; of a dry run also ``pending``.
        mask: Its mask, whether or not it was written.
        seconds: Time per stage, which overlap, and ``total``; empty unless done.
        volumes_ml: Volume per label; empty unless done.
        warnings: What a reader of the mask should know.
        error: Why it failed, one line.
        reason: The kind of failure, for counting.
        detail: Of a dry run: why the case would be done or passed over.

    Example:
        >>> from pathlib import Path, PurePosixPath
        >>> from unet_med.cases import Case
        >>> case = Case("knee", PurePosixPath("monday"), (Path("knee.nii"),))
        >>> outcome = Outcome(case, Status.DONE, Path("masks/knee.nii"), volumes_ml={"bone": 2.5})
        >>> outcome.as_dict()["case"], outcome.as_dict()["volumes_ml"]
        ('monday/knee', {'bone': 2.5})
    """

    case: Case
    status: Status
    mask: Path
    seconds: dict[str, float] = field(default_factory=dict)
    volumes_ml: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: str | None = None
    reason: str | None = None
    detail: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready content."""
        return {
            "case": self.case.key,
            "status": str(self.status),
            "inputs": [str(path) for path in self.case.paths],
            "mask": None if self.status is Status.FAILED else str(self.mask),
            "seconds": {stage: round(value, 4) for stage, value in self.seconds.items()},
            "volumes_ml": self.volumes_ml,
            "warnings": list(self.warnings),
            "error": self.error,
            "reason": self.reason,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class BatchReport:
    """Report how a batch ended.

    Attributes:
        outcomes: One per case, in order.
        ledger: The ledger file.
        rule: How the cases were found.
        execution: How the network was run.
        elapsed_s: What the run took, from the first case on.
        remaining: Cases that the limit left for another run.

    Example:
        >>> from pathlib import Path
        >>> from unet_med.backends import Execution
        >>> how = Execution("torch", "fp32", "cpu", threads=1, reason="asked for")
        >>> report = BatchReport((), Path("ledger.jsonl"), "one per file", how, remaining=3)
        >>> report.summary(), report.exit_code
        ('3 left by --limit; ledger ledger.jsonl', 0)
    """

    outcomes: tuple[Outcome, ...]
    ledger: Path
    rule: str
    execution: Execution
    elapsed_s: float = 0.0
    remaining: int = 0

    def count(self, status: Status) -> int:
        """Return how many cases ended so."""
        return Counter(outcome.status for outcome in self.outcomes)[status]

    @property
    def exit_code(self) -> int:
        """0 when every case is done, 1 when some failed."""
        return 1 if self.count(Status.FAILED) else 0

    @property
    def done_per_hour(self) -> float:
        """Cases done per hour of this run."""
        return 3600 * self.count(Status.DONE) / self.elapsed_s if self.elapsed_s else 0.0

    def reasons(self) -> dict[str, int]:
        """Return how many cases failed by kind of failure, the most frequent first."""
        failed = (case.reason or "" for case in self.outcomes if case.status is Status.FAILED)
        return dict(Counter(failed).most_common())

    def seconds(self) -> dict[str, float]:
        """Return seconds per stage, summed over the cases done; stages overlap."""
        total: Counter[str] = Counter()
        for outcome in self.outcomes:
            total.update(outcome.seconds)
        return {stage: round(value, 3) for stage, value in total.items()}

    def summary(self) -> str:
        """Return one line for people."""
        kinds = (Status.DONE, Status.PENDING, Status.SKIPPED, Status.FAILED)
        words = {Status.SKIPPED: "up to date", Status.PENDING: "to be done"}
        counts = [f"{self.count(kind)} {words.get(kind, kind)}" for kind in kinds]
        shown = [text for kind, text in zip(kinds, counts, strict=True) if self.count(kind)]
        if self.remaining:
            shown.append(f"{self.remaining} left by --limit")
        return f"{', '.join(shown) or 'no case'}; ledger {self.ledger}"

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready content."""
        return {
            "cases": [outcome.as_dict() for outcome in self.outcomes],
            "done": self.count(Status.DONE),
            "pending": self.count(Status.PENDING),
            "skipped": self.count(Status.SKIPPED),
            "failed": self.count(Status.FAILED),
            "remaining": self.remaining,
            "failed_by_reason": self.reasons(),
            "seconds": self.seconds(),
            "elapsed_s": round(self.elapsed_s, 3),
            "done_per_hour": round(self.done_per_hour, 2),
            "ledger": str(self.ledger),
            "rule": self.rule,
            "execution": self.execution.as_dict(),
            "exit_code": self.exit_code,
        }


class Listener(Protocol):
    """Follow a batch, e.g. with a progress bar. Derive from `NullListener` for a part of it.

    Example:
        >>> listener: Listener = NullListener()
        >>> listener.case_progress(3, 10)
    """

    def batch_started(self, n_cases: int, *, rule: str, execution: Execution) -> None:
        """Note that the cases are known and the network is loaded."""

    def case_started(self, case: Case, number: int) -> None:
        """Note that work on a case begins; ``number`` counts from 1."""

    def case_progress(self, done: int, total: int) -> None:
        """Note how many slices of the current case are done."""

    def case_ended(self, outcome: Outcome) -> None:
        """Note that a case is done, failed or skipped."""


class NullListener:
    """Follow a batch silently; a base for listeners that follow a part of it.

    Example:
        >>> class Bell(NullListener):
        ...     def case_progress(self, done, total):
        ...         print("ding" if done == total else "tick")
        >>> Bell().case_progress(10, 10)
        ding
    """

    def batch_started(self, n_cases: int, *, rule: str, execution: Execution) -> None:
        """Say nothing."""

    def case_started(self, case: Case, number: int) -> None:
        """Say nothing."""

    def case_progress(self, done: int, total: int) -> None:
        """Say nothing."""

    def case_ended(self, outcome: Outcome) -> None:
        """Say nothing."""
