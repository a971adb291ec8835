"""Names that look like the one that was looked for."""

from __future__ import annotations

import difflib
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest_ids(wanted: str, ids: Iterable[str]) -> tuple[str, ...]:
    """Return up to three ids that look like the wanted one, best first; case does not count.

    Example:
        >>> nearest_ids("P1", ["p1", "q2"])
        ('p1',)
    """
    by_small: dict[str, list[str]] = defaultdict(list)
    for one in ids:
        by_small[one.casefold()].append(one)
    small = wanted.casefold()
    alike = difflib.get_close_matches(small, by_small, n=3, cutoff=0.6)
    within = [one for one in by_small if small in one or one in small]
    return tuple(one for key in dict.fromkeys([*alike, *within]) for one in by_small[key])[:3]
