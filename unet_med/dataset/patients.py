"""Which cases are of one patient, as far as their ids tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SUBJECT = re.compile(r"(?:^|/|_)(sub-[A-Za-z0-9]+)(?=$|/|_)")
_VISIT = re.compile(r"(?P<patient>.*\d)[_-](?P<visit>[^_/-]+)")
_LONGEST_VISIT_NUMBER = 2
_DATE = re.compile(r"(19|20)\d{6}")

BY_SUBJECT = "patients by sub-…, as in BIDS"
BY_VISIT = (
    "patients by the id before its last _ or -, where that ends in a digit and a visit "
    "(letters, one or two digits, or a date) follows"
)
BY_CASE = "each case taken as a patient of its own"
BY_LIST = "patients as the list states them"


def patients_of(ids: Sequence[str]) -> tuple[list[str], str]:
    """Tell who each case is.

    ``sub-…`` in an id names the patient. Otherwise the id before its last ``_`` or ``-`` does,
    if that ends in a digit and a visit follows: letters, at most two digits, or a date; but
    not if all cases would be of one patient. Otherwise the whole id does.

    Args:
        ids: Case ids.

    Returns:
        Patient of each case, and the rule as text.

    Example:
        >>> patients_of(["p1_pre", "p1_post", "p2_pre"])[0]
        ['p1', 'p1', 'p2']
        >>> patients_of(["BRATS_001", "BRATS_002"])[0]
        ['BRATS_001', 'BRATS_002']
    """
    subjects = [_SUBJECT.search(name) for name in ids]
    if ids and all(subjects):
        return [match[1] for match in subjects if match], BY_SUBJECT
    visited = [_before_visit(name) for name in ids]
    if len(set(visited)) < len(visited) and len(set(visited)) > 1:
        return visited, BY_VISIT
    return list(ids), BY_CASE


def _before_visit(name: str) -> str:
    match = _VISIT.fullmatch(name)
    if match is None:
        return name
    visit = match["visit"]
    number = visit.isdecimal() and len(visit) > _LONGEST_VISIT_NUMBER
    return name if number and not _DATE.fullmatch(visit) else match["patient"]
