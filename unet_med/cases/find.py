"""Find the cases to segment, and group the files of several channels into cases.

Folders that are named as the channels hold one channel each. Else three rules, tried in this order
on the files of one folder: names that end in ``_0000``, ``_0001``, …; a sub-folder that holds
exactly one file per channel; one 4D file.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from unet_med._files import real_path
from unet_med.cases.case import Case, CaseList
from unet_med.cases.filenames import split_channel_number
from unet_med.cases.layouts import group_channel_folders
from unet_med.cases.walk import FailedInput, FoundFile, find_files, searched_folders
from unet_med.errors import InputError, UnetMedError
from unet_med.volumes import open_volume, volume_ending

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_SHOWN_FAULTS = 3


def find_cases(
    inputs: Sequence[Path | str],
    *,
    n_channels: int,
    output: Path | None,
    channel_names: Sequence[str] = (),
    exclude: Collection[Path] = (),
) -> CaseList:
    """Find the cases among files, folders (recursively) and globs.

    With one channel each file is a case, its id the name without the ending, and so is each
    folder that holds DICOM files. With more, a
    case is one name in sub-folders that are called as the channels, ``<id>_0000…``, a sub-folder
    of one file per channel, or one 4D file. Relative folders below a folder, or below the first
    wildcard of a glob, are kept.

    Args:
        inputs: What the user named.
        n_channels: Channels that the recipe takes, C >= 1.
        output: Output folder, which must not lie in a folder that is searched; or None.
        channel_names: The recipe's names, in order; used to order the files of a sub-folder.
        exclude: Files that are no scans, such as label maps beside them.

    Returns:
        The cases and the rule used. Part of the inputs may be cases with a ``problem``.

    Raises:
        InputError: Nothing found, two inputs with one id, or the output lies in an input.

    Example:
        >>> from unet_med.bundle import demo_data
        >>> found = find_cases([demo_data() / "images"], n_channels=1, output=None)
        >>> [case.key for case in found.cases], found.rule
        (['colin27'], 'one per file')
    """
    texts = [str(item) for item in inputs]
    if output is not None:
        _refuse_output_inside(output, searched_folders(texts))
    files: dict[tuple[Path, PurePosixPath], FoundFile] = {}
    failed: list[FailedInput] = []
    left_out = {path.absolute() for path in exclude}
    for text in texts:
        found, faults = find_files(text)
        for file in found:  # the same file may be named twice
            if file.path.absolute() in left_out:
                continue
            files.setdefault((file.path.absolute(), file.relative_folder), file)
        failed += faults
    _refuse_slices(files.values())
    if not files:
        msg = "; ".join(fault.why for fault in failed[:_SHOWN_FAULTS]) or "no input was given"
        raise InputError(msg)
    names = tuple(channel_names) or tuple(f"channel {n}" for n in range(n_channels))
    cases, rule = _form_cases(list(files.values()), names)
    _refuse_equal_names(cases)
    cases += [Case(_last_name(f.name), PurePosixPath(), (), problem=f.why) for f in failed]
    cases.sort(key=lambda case: (case.relative_folder.as_posix(), case.id))
    return CaseList(tuple(cases), rule)


def _form_cases(files: Sequence[FoundFile], names: Sequence[str]) -> tuple[list[Case], str]:
    """Turn files into cases and say by which rule."""
    if len(names) == 1:
        cases = [Case(f.id, f.relative_folder, (f.path,)) for f in files]
        return cases, "one per file"
    cases, used = group_channels(files, names)
    return cases, ", ".join(f"{count} {text}" for text, count in used.items())


def _refuse_slices(files: Iterable[FoundFile]) -> None:
    """Several DICOM files of one folder are slices, as a shell's ``exam/*`` names them."""
    folders: dict[Path, int] = defaultdict(int)
    for file in files:
        if file.path.is_file() and volume_ending(file.path) is None:
            folders[file.path.parent] += 1
    for folder, count in folders.items():
        if count > 1:
            msg = f"{count} DICOM files of {folder} are named one by one; name the folder instead"
            raise InputError(msg)


def _refuse_output_inside(output: Path, searched: Iterable[Path]) -> None:
    """Masks must not become inputs of the next run."""
    target = real_path(output)
    for folder in searched:
        if target.is_relative_to(real_path(folder)):
            where = "is" if target == real_path(folder) else "lies in"
            msg = f"the output {output} {where} the input folder {folder}; choose one outside it"
            raise InputError(msg)


def _refuse_equal_names(cases: Sequence[Case]) -> None:
    """Two cases with one id in one relative folder would write one file."""
    by_key: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_key[case.key].append(case)
    for key, same in by_key.items():
        if len(same) > 1:
            paths = " and ".join(sorted(str(case.paths[0]) for case in same))
            msg = f"{paths} would both be written as {key}; rename one or segment them apart"
            raise InputError(msg)


def _last_name(text: str) -> str:
    """Name a fault's case by the last part of what was typed."""
    return Path(text).name or text


def group_channels(
    files: Sequence[FoundFile], names: Sequence[str]
) -> tuple[list[Case], dict[str, int]]:
    """Group files into cases of several channels.

    Args:
        files: What was found.
        names: The channels a case needs, in order; C > 1.

    Returns:
        The cases, and how many were found by each rule (the rule as text).
    """
    by_channel = group_channel_folders(files, names)
    if by_channel is not None:
        named = ", ".join(names)
        return by_channel, {f"by one sub-folder per channel ({named})": len(by_channel)}
    folders: dict[tuple[PurePosixPath, Path, bool], list[FoundFile]] = defaultdict(list)
    for file in files:
        folders[file.relative_folder, file.path.parent, file.in_subfolder].append(file)
    cases: list[Case] = []
    used: dict[str, int] = defaultdict(int)
    for (relative, parent, in_subfolder), members in folders.items():
        suffixed, plain = _by_suffix(members)
        cases += [_suffix_case(key, found, relative, names) for key, found in suffixed.items()]
        used[f"by suffix _0000 to _{len(names) - 1:04d}"] += len(suffixed)
        if in_subfolder and not suffixed and _is_case_folder(plain, names, parent.name):
            paths, order = _in_channel_order([file.path for file in plain], names)
            cases.append(Case(parent.name, relative.parent, paths))
            used[f"by sub-folder of {len(names)} files, channels in {order}"] += 1
            continue
        for file in plain:
            cases.append(Case(file.id, relative, (file.path,)))
        used["by 4D file"] += len(plain)
    return cases, {text: count for text, count in used.items() if count}


def _by_suffix(
    files: Iterable[FoundFile],
) -> tuple[dict[str, list[tuple[int, Path]]], list[FoundFile]]:
    """Split files into those that end in _dddd, by id, and the others."""
    suffixed: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    plain: list[FoundFile] = []
    for file in files:
        if numbered := split_channel_number(file.id):
            suffixed[numbered[0]].append((numbered[1], file.path))
        else:
            plain.append(file)
    return suffixed, plain


def _suffix_case(
    case_id: str, found: list[tuple[int, Path]], relative: PurePosixPath, names: Sequence[str]
) -> Case:
    """Make the case of one id; a missing, doubled or surplus channel is its problem alone."""
    by_number = dict(found)
    paths = tuple(by_number[number] for number in sorted(by_number))
    expected = set(range(len(names)))
    missing = sorted(expected - set(by_number))
    surplus = sorted(set(by_number) - expected)
    problem = None
    if missing:
        shown = ", ".join(f"_{n:04d} ({names[n]})" for n in missing)
        problem = f"channel {shown} of case {case_id} is missing beside {paths[0]}"
    elif surplus:
        shown = ", ".join(f"_{n:04d}" for n in surplus)
        problem = f"case {case_id} has channel {shown}, but the recipe takes {len(names)}"
    elif len(found) > len(by_number):
        shown = " and ".join(sorted(path.name for _, path in found))
        problem = f"case {case_id} has a channel twice: {shown}; remove one"
    return Case(case_id, relative, paths, problem=problem)


def _is_case_folder(files: Sequence[FoundFile], names: Sequence[str], name: str) -> bool:
    """Exactly one file per channel, none of them 4D (those are cases of their own).

    Files in a folder that is named as a channel are of that channel, so of as many cases.
    """
    if name.casefold() in {channel.casefold() for channel in names}:
        return False
    return len(files) == len(names) and not any(_is_4d(file.path) for file in files)


def _is_4d(path: Path) -> bool:
    """Read the header; a file that cannot be read is left for its case to report."""
    try:
        return open_volume(path).n_channels > 1
    except (UnetMedError, OSError):
        return False


def _in_channel_order(paths: Sequence[Path], names: Sequence[str]) -> tuple[tuple[Path, ...], str]:
    """Order files by the channel names in theirs, or by file name if that is not one to one."""
    ordered: list[Path] = []
    for name in names:
        matches = [path for path in paths if _names_channel(path, name)]
        if len(matches) != 1 or matches[0] in ordered:
            return tuple(sorted(paths)), "the order of their names"
        ordered.append(matches[0])
    return tuple(ordered), "the order of the channel names in theirs"


def _names_channel(path: Path, channel: str) -> bool:
    """Whether a channel's name is a whole word of the file's name (t1 is not in t1ce)."""
    words = re.split(r"[^0-9a-z]+", path.name.lower())
    return channel.lower() in words
