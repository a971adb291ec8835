"""Names that look like the one that was looked for."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest_ids(wanted: str, ids: Iterable[str]) -> tuple[str, ...]:
    """Return up to three ids that look like the wanted one, best first."""
    ordered = list(ids)
    alike = difflib.get_close_matches(wanted, ordered, n=3, cutoff=0.6)
    within = [one for one in ordered if wanted in one or one in wanted]
    return tuple(dict.fromkeys([*alike, *within]))[:3]
