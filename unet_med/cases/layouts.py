"""How the scans of a folder make up cases: one file each, numbered channels, or sub-folders.

A sub-folder is a case, or a channel.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from unet_med.cases.case import Case
from unet_med.cases.filenames import split_channel_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from unet_med.cases.walk import FoundFile


@dataclass(frozen=True, slots=True)
class FolderLayout:
    """One way to see the scans of a folder as cases.

    Attributes:
        text: The rule in words.
        keys: Key of each case, ``folder/name``.
        channel_names: One name per file of a case; one file may yet hold several channels.
        numbered: Whether names end in ``_0000``.
        channel_folders: Whether each sub-folder is a channel.
    """

    text: str
    keys: tuple[str, ...]
    channel_names: tuple[str, ...]
    numbered: bool = False
    channel_folders: bool = False


def possible_layouts(files: Sequence[FoundFile]) -> list[FolderLayout]:
    """Return the ways in which files can be seen as cases, the simplest first."""
    layouts = [FolderLayout("one file per case", tuple(file.key for file in files), ("image",))]
    layouts += _numbered(files)
    layouts += _by_folder(files)
    layouts += _by_channel(files)
    return layouts


def _numbered(files: Sequence[FoundFile]) -> list[FolderLayout]:
    """See files as ``case_0000``, ``case_0001``, …; all of them must be so named."""
    split = [split_channel_number(file.key) for file in files]
    parts = [part for part in split if part is not None]
    if len(parts) < len(split) or not parts:
        return []
    keys = tuple(dict.fromkeys(key for key, _ in parts))
    count = max(channel for _, channel in parts) + 1
    if count > len(files):  # numbers that count cases, not channels
        return []
    names = tuple(f"channel_{n}" for n in range(count))
    text = (
        "one file per case, named …_0000" if count == 1 else f"channels _0000 to _{count - 1:04d}"
    )
    return [FolderLayout(text, keys, names, numbered=True)]


def _by_folder(files: Sequence[FoundFile]) -> list[FolderLayout]:
    """See each sub-folder as a case with one file per channel."""
    folders: dict[PurePosixPath, list[str]] = defaultdict(list)
    for file in files:
        if file.in_subfolder:
            folders[file.relative_folder].append(file.id)
    if not folders:
        return []
    count = Counter(len(names) for names in folders.values()).most_common(1)[0][0]
    if count == 1:
        return []
    names = _channel_words([sorted(n) for n in folders.values() if len(n) == count])
    keys = tuple(folder.as_posix() for folder in folders)
    shown = ", ".join(names)
    return [FolderLayout(f"one sub-folder per case with {count} files ({shown})", keys, names)]


def _by_channel(files: Sequence[FoundFile]) -> list[FolderLayout]:
    """See each sub-folder as a channel; all of them must hold the same names, each once."""
    folders: dict[str, list[str]] = defaultdict(list)
    for file in files:
        parts = split_channel_folder(file)
        if parts is None:
            return []
        folders[parts[0]].append(parts[1])
    names = tuple(sorted(folders))
    keys = sorted(folders[names[0]]) if names else []
    once = len(set(keys)) == len(keys) and len({name.casefold() for name in names}) == len(names)
    if len(names) == 1 or not once or any(sorted(found) != keys for found in folders.values()):
        return []
    text = f"one sub-folder per channel ({', '.join(names)})"
    return [FolderLayout(text, tuple(keys), names, channel_folders=True)]


def _channel_words(folders: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Find the words that tell the files of every folder apart; numbers if there are none."""
    chosen: list[str] = []
    for name in folders[0]:
        for word in reversed(_words(name)):
            if word not in chosen and all(_single(word, names) is not None for names in folders):
                chosen.append(word)
                break
    one_to_one = len(chosen) == len(folders[0]) and all(
        len({_single(word, names) for word in chosen}) == len(chosen) for names in folders
    )
    return tuple(chosen) if one_to_one else tuple(f"channel_{n}" for n in range(len(folders[0])))


def _single(word: str, names: Sequence[str]) -> str | None:
    """Return the only name that holds a word; None if there is none or more than one."""
    matches = [name for name in names if word in _words(name)]
    return matches[0] if len(matches) == 1 else None


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^0-9a-z]+", name.lower()) if word]


def split_channel_folder(file: FoundFile) -> tuple[str, str] | None:
    """Split a file into its first folder and the rest, without its ending; None without folder.

    Example:
        >>> from pathlib import Path
        >>> from unet_med.cases.walk import FoundFile
        >>> file = FoundFile(Path("in/T1/x/a.nii"), PurePosixPath("T1/x"), in_subfolder=True)
        >>> split_channel_folder(file)
        ('T1', 'x/a')
    """
    first, *rest = file.relative_folder.parts or ("",)
    return (first, PurePosixPath(*rest, file.id).as_posix()) if first else None


def group_channel_folders(
    files: Iterable[FoundFile], channel_names: Sequence[str]
) -> list[Case] | None:
    """Group files whose first folders are named as the channels, all of them and no other.

    Args:
        files: What was found.
        channel_names: The recipe's channels, in order.

    Returns:
        The cases, each of a channel's files with one name; a missing or doubled channel is its
        problem alone. None where folders are not so named.
    """
    numbers = {name.casefold(): number for number, name in enumerate(channel_names)}
    cases: dict[str, dict[int, list[Path]]] = defaultdict(lambda: defaultdict(list))
    seen: set[str] = set()
    for file in files:
        parts = split_channel_folder(file)
        if parts is None or parts[0].casefold() not in numbers:
            return None
        seen.add(parts[0])
        cases[parts[1]][numbers[parts[0].casefold()]].append(file.path)
    if len(seen) != len(channel_names) or {name.casefold() for name in seen} != set(numbers):
        return None
    return [_case(key, found, channel_names) for key, found in cases.items()]


def _case(key: str, found: Mapping[int, Sequence[Path]], channel_names: Sequence[str]) -> Case:
    paths = tuple(found[number][0] for number in sorted(found))
    missing = [name for number, name in enumerate(channel_names) if number not in found]
    twice = [files for files in found.values() if len(files) > 1]
    problem = None
    if missing:
        problem = (
            f"channel {', '.join(missing)} of case {key} is missing: its folder has no file of "
            f"the name of {paths[0]}"
        )
    elif twice:
        problem = f"case {key} has a channel twice: {' and '.join(map(str, twice[0]))}; remove one"
    path = PurePosixPath(key)
    return Case(path.name, path.parent, paths, problem=problem)
