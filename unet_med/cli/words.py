"""Words that every command prints alike."""

from __future__ import annotations


def counted(number: int, what: str) -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "thread"), counted(2, "thread")
        ('1 thread', '2 threads')
    """
    return f"{number} {what}" + ("" if number == 1 else "s")
