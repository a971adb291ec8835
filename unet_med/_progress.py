"""Define the callbacks that follow a long piece of work."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with (slices done, slices in all) of one case."""

CaseProgress = Callable[[int, int, str], None]
"""Called with (cases done, cases in all, id of the case that ended last)."""
