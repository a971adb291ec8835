"""How file names are read as case ids: a few rules, from the strictest to the loosest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

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
class Reader:
    """One way to read the key of a file, ``folder/name`` without its ending, as a case id.

    ``read`` returns None where the rule does not apply.
    """

    text: str
    read: Callable[[str], str | None]


def without_word(name: str, words: tuple[str, ...]) -> str | None:
    """Take one of the words off the end or the start of a name; None if there is none.

    At the start a digit may follow at once, at the end a separator must stand before the word.

    Example:
        >>> without_word("p1_T2_seg", LABEL_WORDS), without_word("label0003", LABEL_WORDS)
        ('p1_T2', '0003')
        >>> without_word("mask", LABEL_WORDS), without_word("gtx_1", LABEL_WORDS)
        ('', None)
    """
    choices = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    rest = re.sub(rf"[ _.-]+({choices})$", "", name, flags=re.IGNORECASE)
    if rest != name:
        return rest
    rest = re.sub(rf"^({choices})([ _.-]+|(?=\d)|$)", "", name, flags=re.IGNORECASE)
    return None if rest == name else rest


def marks_label(name: str) -> bool:
    """Whether a name without its ending says that the file is a label map."""
    return without_word(name, LABEL_WORDS) is not None


def channel_of(key: str) -> tuple[str, int] | None:
    """Split ``case_0001`` into the case and its channel number; None for other names.

    Example:
        >>> channel_of("sub/case_0001"), channel_of("case_01")
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
        rest = without_word(_base(key), words)
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


IMAGE_READERS = (
    Reader("the name", _same),
    Reader("the name without its folder", _base),
    Reader("the name without a word such as _image", _loose(IMAGE_WORDS)),
    Reader("the name without folder and a word such as _image", _base_of(_loose(IMAGE_WORDS))),
    Reader("the folder", _folder),
    Reader("the folder's name", _base_of(_folder)),
)
"""Ways to read an image's key, or the key of a group of channels."""

LABEL_READERS = (
    Reader("the same name", _same),
    Reader("the same name in any folder", _base),
    Reader("the name without a word such as _seg", _in_name(LABEL_WORDS)),
    Reader("the name in any folder without a word such as _seg", _base_of(_in_name(LABEL_WORDS))),
    Reader("its folder", _folder),
    Reader("its folder's name", _base_of(_folder)),
)
"""Ways to read a label map's key."""
