"""How the scans of a folder make up cases: one file each, numbered channels, or sub-folders.

A sub-folder is a case, or a channel.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unet_med.cases.channel_folders import parted_key
from unet_med.cases.walk import stem_of
from unet_med.dataset.names import channel_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import PurePosixPath

    from unet_med.cases.walk import FoundFile


@dataclass(frozen=True, slots=True)
class Layout:
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


def key_of(file: FoundFile) -> str:
    """Return ``folder/name`` of a file, relative to the searched folder, without its ending."""
    return (file.relative_folder / (stem_of(file.path) or file.path.name)).as_posix()


def layouts_of(files: Sequence[FoundFile]) -> list[Layout]:
    """Return the ways in which files can be seen as cases, the simplest first."""
    layouts = [Layout("one file per case", tuple(key_of(file) for file in files), ("image",))]
    layouts += _numbered(files)
    layouts += _by_folder(files)
    layouts += _by_channel(files)
    return layouts


def _numbered(files: Sequence[FoundFile]) -> list[Layout]:
    """See files as ``case_0000``, ``case_0001``, …; all of them must be so named."""
    split = [channel_of(key_of(file)) for file in files]
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
    return [Layout(text, keys, names, numbered=True)]


def _by_folder(files: Sequence[FoundFile]) -> list[Layout]:
    """See each sub-folder as a case with one file per channel."""
    folders: dict[PurePosixPath, list[str]] = defaultdict(list)
    for file in files:
        if file.in_subfolder:
            folders[file.relative_folder].append(stem_of(file.path) or file.path.name)
    if not folders:
        return []
    count = Counter(len(names) for names in folders.values()).most_common(1)[0][0]
    if count == 1:
        return []
    names = _channel_words([sorted(n) for n in folders.values() if len(n) == count])
    keys = tuple(folder.as_posix() for folder in folders)
    shown = ", ".join(names)
    return [Layout(f"one sub-folder per case with {count} files ({shown})", keys, names)]


def _by_channel(files: Sequence[FoundFile]) -> list[Layout]:
    """See each sub-folder as a channel; all of them must hold the same names, each once."""
    folders: dict[str, list[str]] = defaultdict(list)
    for file in files:
        parts = parted_key(file)
        if parts is None:
            return []
        folders[parts[0]].append(parts[1])
    names = tuple(sorted(folders))
    keys = sorted(folders[names[0]]) if names else []
    once = len(set(keys)) == len(keys) and len({name.casefold() for name in names}) == len(names)
    if len(names) == 1 or not once or any(sorted(found) != keys for found in folders.values()):
        return []
    text = f"one sub-folder per channel ({', '.join(names)})"
    return [Layout(text, tuple(keys), names, channel_folders=True)]


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
