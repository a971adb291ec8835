"""Read file names: case ids, channel numbers, label maps, patients, and names that are alike."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

LABEL_WORDS = (
    "label", "labels", "seg", "segmentation", "mask", "gt", "groundtruth", "ground_truth",
    "dseg", "manual", "annotation", "roi",
)  # fmt: skip
"""Words that mark a file as a label map."""


IMAGE_WORDS = (
    "image", "img", "scan", "volume", "vol", "raw", "orig", "ct", "mr", "mri", "t1", "t1w", "t2",
    "t2w", "flair",
)  # fmt: skip
"""Words that mark a file as a scan."""


_CHANNEL = re.compile(r"(?P<id>.+)_(?P<channel>\d{4})")


@dataclass(frozen=True, slots=True)
class FilenamePattern:
    """One way to read the key of a file, ``folder/name`` without its ending, as a case id.

    ``match`` returns the id, or None where the pattern does not apply.
    """

    text: str
    match: Callable[[str], str | None]


def strip_word(name: str, words: tuple[str, ...]) -> str | None:
    """Take one of the words off the end or the start of a name; None if there is none.

    At the start a digit may follow at once, at the end a separator must stand before the word.

    Example:
        >>> strip_word("p1_T2_seg", LABEL_WORDS), strip_word("label0003", LABEL_WORDS)
        ('p1_T2', '0003')
        >>> strip_word("mask", LABEL_WORDS), strip_word("gtx_1", LABEL_WORDS)
        ('', None)
    """
    choices = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    rest = re.sub(rf"[ _.-]+({choices})$", "", name, flags=re.IGNORECASE)
    if rest != name:
        return rest
    rest = re.sub(rf"^({choices})([ _.-]+|(?=\d)|$)", "", name, flags=re.IGNORECASE)
    return None if rest == name else rest


def is_label_name(name: str) -> bool:
    """Whether a name without its ending says that the file is a label map."""
    return strip_word(name, LABEL_WORDS) is not None


def split_channel_number(key: str) -> tuple[str, int] | None:
    """Split ``case_0001`` into the case and its channel number; None for other names.

    Example:
        >>> split_channel_number("sub/case_0001"), split_channel_number("case_01")
        (('sub/case', 1), None)
    """
    match = _CHANNEL.fullmatch(key)
    return None if match is None else (match["id"], int(match["channel"]))


def _same(key: str) -> str:
    return key


def _base(key: str) -> str:
    return PurePosixPath(key).name


def _folder(key: str) -> str | None:
    parent = PurePosixPath(key).parent.as_posix()
    return None if parent == "." else parent


def _in_name(words: tuple[str, ...]) -> Callable[[str], str | None]:
    """Read a key by taking a word off its name; the folder stays."""

    def read(key: str) -> str | None:
        rest = strip_word(_base(key), words)
        return None if not rest else PurePosixPath(key).with_name(rest).as_posix()

    return read


def _loose(words: tuple[str, ...]) -> Callable[[str], str | None]:
    """Read a key with a word off its name, if there is one."""

    def read(key: str) -> str | None:
        return _in_name(words)(key) or key

    return read


def _base_of(read: Callable[[str], str | None]) -> Callable[[str], str | None]:
    def base(key: str) -> str | None:
        found = read(key)
        return None if found is None else _base(found)

    return base


IMAGE_PATTERNS = (
    FilenamePattern("the name", _same),
    FilenamePattern("the name without its folder", _base),
    FilenamePattern("the name without a word such as _image", _loose(IMAGE_WORDS)),
    FilenamePattern(
        "the name without folder and a word such as _image", _base_of(_loose(IMAGE_WORDS))
    ),
    FilenamePattern("the folder", _folder),
    FilenamePattern("the folder's name", _base_of(_folder)),
)
"""Ways to read an image's key, or the key of a group of channels."""


LABEL_PATTERNS = (
    FilenamePattern("the same name", _same),
    FilenamePattern("the same name in any folder", _base),
    FilenamePattern("the name without a word such as _seg", _in_name(LABEL_WORDS)),
    FilenamePattern(
        "the name in any folder without a word such as _seg", _base_of(_in_name(LABEL_WORDS))
    ),
    FilenamePattern("its folder", _folder),
    FilenamePattern("its folder's name", _base_of(_folder)),
)
"""Ways to read a label map's key."""


def close_matches(wanted: str, ids: Iterable[str]) -> tuple[str, ...]:
    """Return up to three ids that look like the wanted one, best first; case does not count.

    Example:
        >>> close_matches("P1", ["p1", "q2"])
        ('p1',)
    """
    by_small: dict[str, list[str]] = defaultdict(list)
    for one in ids:
        by_small[one.casefold()].append(one)
    small = wanted.casefold()
    alike = difflib.get_close_matches(small, by_small, n=3, cutoff=0.6)
    within = [one for one in by_small if small in one or one in small]
    return tuple(one for key in dict.fromkeys([*alike, *within]) for one in by_small[key])[:3]


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
