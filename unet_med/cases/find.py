"""The one function by which every door finds its cases."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from unet_med._files import real_path
from unet_med.cases.case import Case, CaseList
from unet_med.cases.channels import ChannelRule, group_channels
from unet_med.cases.walk import FoundFile, Nothing, find_files, folder_roots, stem_of
from unet_med.errors import InputError

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
    """
    texts = [str(item) for item in inputs]
    if output is not None:
        _refuse_output_inside(output, folder_roots(texts))
    files: dict[tuple[Path, PurePosixPath], FoundFile] = {}
    nothing: list[Nothing] = []
    left_out = {path.absolute() for path in exclude}
    for text in texts:
        found, faults = find_files(text)
        for file in found:  # the same file may be named twice
            if file.path.absolute() in left_out:
                continue
            files.setdefault((file.path.absolute(), file.relative_folder), file)
        nothing += faults
    _refuse_slices(files.values())
    if not files:
        msg = "; ".join(fault.why for fault in nothing[:_SHOWN_FAULTS]) or "no input was given"
        raise InputError(msg)
    names = tuple(channel_names) or tuple(f"channel {n}" for n in range(n_channels))
    cases, rule = _form_cases(list(files.values()), ChannelRule(names))
    _refuse_equal_names(cases)
    cases += [Case(_last_name(f.name), PurePosixPath(), (), problem=f.why) for f in nothing]
    cases.sort(key=lambda case: (case.relative_folder.as_posix(), case.id))
    return CaseList(tuple(cases), rule)


def _form_cases(files: Sequence[FoundFile], rule: ChannelRule) -> tuple[list[Case], str]:
    """Turn files into cases and say by which rule."""
    if rule.count == 1:
        cases = [Case(stem_of(f.path) or f.path.name, f.relative_folder, (f.path,)) for f in files]
        return cases, "one per file"
    cases, used = group_channels(files, rule)
    return cases, ", ".join(f"{count} {text}" for text, count in used.items())


def _refuse_slices(files: Iterable[FoundFile]) -> None:
    """Several DICOM files of one folder are slices, as a shell's ``exam/*`` names them."""
    folders: dict[Path, int] = defaultdict(int)
    for file in files:
        if file.path.is_file() and stem_of(file.path) is None:
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
