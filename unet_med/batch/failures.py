"""Why a case failed: one line for people, one word for counting."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import StrEnum

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

KILLED = "the case killed the process twice (out of memory?): --retry-failed tries it again"
STOPPED = "stopped by the user"

_MEMORY_TEXTS = ("bad_alloc", "not enough memory", "out of memory", "cannot allocate memory")


class Reason(StrEnum):
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


_REASONS: tuple[tuple[type[Exception], Reason], ...] = (
    (VolumeError, Reason.SCAN),
    (GeometryError, Reason.GEOMETRY),
    (InputError, Reason.INPUT),
    (OutputError, Reason.OUTPUT),
    (BundleError, Reason.BUNDLE),
    (RecipeError, Reason.BUNDLE),
    (WeightsError, Reason.BUNDLE),
    (MissingExtraError, Reason.BUNDLE),
)
"""The first that fits; the narrower come first."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed case: one line for people and the kind."""

    error: str
    reason: Reason


def failure_of(exc: Exception) -> Failure:
    """Put an error into words."""
    text = " ".join(str(exc).split())
    if _is_memory(exc, text):
        return Failure(f"not enough memory: {text or 'the scan is too large here'}", Reason.MEMORY)
    if isinstance(exc, UnetMedError):
        fitting = (reason for kind, reason in _REASONS if isinstance(exc, kind))
        return Failure(text, next(fitting, Reason.UNEXPECTED))
    unexpected = f"{type(exc).__name__}: {text} (unexpected; --debug shows where)"
    return Failure(unexpected, Reason.UNEXPECTED)


def _is_memory(exc: Exception, text: str) -> bool:
    """Libraries in C++ say it in words only."""
    if isinstance(exc, MemoryError) or getattr(exc, "errno", None) == errno.ENOMEM:
        return True
    return isinstance(exc, RuntimeError) and any(word in text.lower() for word in _MEMORY_TEXTS)
