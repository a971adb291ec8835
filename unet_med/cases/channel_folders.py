"""One folder per channel: ``T1/case.nii.gz`` and ``T2/case.nii.gz`` are one case."""

from __future__ import annotations

from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from unet_med.cases.case import Case
from unet_med.cases.walk import stem_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from unet_med.cases.walk import FoundFile


def parted_key(file: FoundFile) -> tuple[str, str] | None:
    """Split a file into its first folder and the rest, without its ending; None without folder.

    Example:
        >>> from pathlib import Path
        >>> from unet_med.cases.walk import FoundFile
        >>> parted_key(FoundFile(Path("in/T1/x/a.nii"), PurePosixPath("T1/x"), in_subfolder=True))
        ('T1', 'x/a')
    """
    first, *rest = file.relative_folder.parts or ("",)
    stem = stem_of(file.path) or file.path.name
    return (first, PurePosixPath(*rest, stem).as_posix()) if first else None


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
        parts = parted_key(file)
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
