"""Find volume files: the one walker for scans, label maps and masks.

Every command searches by these rules. A volume is a file with a known ending, or a folder that
holds DICOM files. Hidden files are left out, and so are maps that the program wrote beside masks.
A pair ``.hdr`` and ``.img`` is one file. The case id is the file name without its ending.
"""

from __future__ import annotations

import difflib
import glob
import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from unet_med._files import real_path
from unet_med.errors import InputError
from unet_med.volumes import OPENERS, is_dicom, is_map, volume_ending

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MAX_SUGGESTIONS = 3
_HERE = PurePosixPath()
_ENDINGS = ", ".join(OPENERS)
_MAP = "is a map that this program wrote beside a mask, not a scan"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A volume file, or a folder of DICOM files, and where its mask goes.

    Attributes:
        path: The file or folder.
        relative_folder: Folder of its mask, relative to the output folder.
        in_subfolder: The file comes from a folder below the one that the user named.

    Example:
        >>> file = FoundFile(Path("in/p1/t1.nii.gz"), PurePosixPath("p1"), in_subfolder=True)
        >>> file.id, file.key
        ('t1', 'p1/t1')
    """

    path: Path
    relative_folder: PurePosixPath
    in_subfolder: bool

    @property
    def id(self) -> str:
        """Name without the ending; the whole name of a folder of DICOM files."""
        return case_id(self.path.name)

    @property
    def key(self) -> str:
        """Relative folder and id, ``p1/t1``."""
        return (self.relative_folder / self.id).as_posix()


@dataclass(frozen=True, slots=True)
class FailedInput:
    """An input, or a folder in it, that gave no file: its name and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class SearchRoot:
    """Something that exists: a file or a folder, and the relative folder it stands for."""

    path: Path
    relative_folder: PurePosixPath = _HERE


def case_id(name: str) -> str:
    """Return a file name without the ending of its format; other names as they are.

    Example:
        >>> case_id("sub-01_T1w.nii.gz"), case_id("b.NII"), case_id("v1.2")
        ('sub-01_T1w', 'b', 'v1.2')
    """
    return name.removesuffix(volume_ending(Path(name)) or "")


def is_glob(text: str) -> bool:
    """Return whether the text is a glob rather than the name of something that exists."""
    return glob.has_magic(text) and not Path(text).exists()


def glob_base(pattern: str) -> Path:
    """Return the folder in front of the first wildcard: ``data/*/a.nii`` gives ``data``."""
    literal = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        literal.append(part)
    return Path(*literal) if literal else Path()


def searched_folders(inputs: Sequence[str]) -> Iterator[Path]:
    """Yield every folder that is searched, for the check that no output lies in one."""
    for text in inputs:
        if not is_glob(text):
            if Path(text).is_dir():
                yield Path(text)
            continue
        base = glob_base(text)
        if len(Path(text).parts) - len(base.parts) > 1:  # a wildcard among the folders
            yield base
        yield from (root.path for root in _expand(text) if root.path.is_dir())


def find_files(text: str) -> tuple[list[FoundFile], list[FailedInput]]:
    """Find the volume files of one input: a file, a folder (recursively) or a glob.

    Linked folders are followed once, so that a loop of links ends. A link to nothing counts as
    a file: its case fails, it is not lost.

    Returns:
        The files, sorted by relative folder and name, and what could not be searched.

    Example:
        >>> find_files("missing.nii")
        ([], [FailedInput(name='missing.nii', why='missing.nii does not exist')])
    """
    found, failed = _search(text)
    found = [file for file in found if not is_map(file.path)]
    if not found and not failed:
        failed.append(FailedInput(text, _explain(text)))
    found = [file for file in found if not _is_second_half(file.path)]
    found.sort(key=lambda file: (file.relative_folder.as_posix(), file.path.name))
    return found, failed


def find_masks(root: Path) -> dict[str, list[Path]]:
    """Find the mask files below a folder, by case id.

    Args:
        root: A folder, searched as `find_files` does, or one mask file.

    Returns:
        Case id (``folder/name``) → its files; more than one where names differ in their ending.

    Raises:
        InputError: The path does not exist or holds no mask, or a folder cannot be read.

    Example:
        >>> from unet_med.bundle import demo_data
        >>> list(find_masks(demo_data() / "labels"))
        ['colin27']
    """
    if root.is_file():
        return {case_id(root.name): [root]}
    if not root.is_dir():
        msg = f"{root} does not exist; give a mask file or a folder of masks"
        raise InputError(msg)
    files, failed = find_files(str(root))
    found: dict[str, list[Path]] = {}
    for file in files:
        if volume_ending(file.path) is not None:  # which folders of DICOM files have not
            found.setdefault(file.key, []).append(file.path)
    if not found:
        msg = f"{root} holds no mask ({' '.join(OPENERS)}); give a folder of masks"
        raise InputError(msg)
    if failed:
        msg = f"not all of {root} can be searched: {failed[0].name}: {failed[0].why}"
        raise InputError(msg)
    return found


def _search(text: str) -> tuple[list[FoundFile], list[FailedInput]]:
    """Find the files of one input, in any order."""
    pattern = is_glob(text)
    if pattern and "**" in Path(text).parts:
        return _search_everywhere(text)
    found: list[FoundFile] = []
    failed: list[FailedInput] = []
    depth = 1 if pattern else 0  # a folder that a wildcard matched is a sub-folder
    for root in _expand(text) if pattern else [SearchRoot(Path(text))]:
        if root.path.is_dir():
            found_here, failed_here = _walk(root, set(), depth=depth)
            found += found_here
            failed += failed_here
        elif _is_file(root.path) and (volume_ending(root.path) is not None or is_dicom(root.path)):
            found.append(FoundFile(root.path, root.relative_folder, in_subfolder=False))
    return found, failed


def _search_everywhere(pattern: str) -> tuple[list[FoundFile], list[FailedInput]]:
    """Find the files of a glob with ``**``: the glob module would follow loops of links."""
    base = glob_base(pattern)
    wanted = Path(pattern).parts[len(base.parts) :]
    found, failed = _walk(SearchRoot(base), set(), depth=0)
    chosen = [
        file for file in found if _matches((*file.relative_folder.parts, file.path.name), wanted)
    ]
    return chosen, failed


def _matches(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether a path, or a folder it lies in, matches a pattern; both in parts."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_matches(parts[n:], pattern[1:]) for n in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _expand(pattern: str) -> list[SearchRoot]:
    """Match a glob; relative folders count from the folder in front of the first wildcard."""
    base = glob_base(pattern)
    roots = []
    if ".." in Path(pattern).parts[len(base.parts) :]:  # its masks could leave the output folder
        msg = f"the pattern {pattern} has .. after a wildcard; write the path without it"
        raise InputError(msg)
    for match in sorted(glob.glob(pattern)):  # noqa: PTH207 - takes absolute patterns
        path = Path(match)
        relative = PurePosixPath(path.relative_to(base).as_posix())
        roots.append(SearchRoot(path, relative if path.is_dir() else relative.parent))
    return roots


def _walk(
    root: SearchRoot, seen: set[tuple[int, int]], *, depth: int
) -> tuple[list[FoundFile], list[FailedInput]]:
    """Collect the volumes in a folder and below it; ``seen`` holds the folders visited."""
    try:
        state = root.path.stat()
        entries = [entry for entry in os.scandir(root.path) if not entry.name.startswith(".")]
    except OSError as exc:
        return [], [FailedInput(str(root.path), f"cannot read the folder: {exc.strerror or exc}")]
    if (state.st_dev, state.st_ino) in seen:
        return [], []
    seen.add((state.st_dev, state.st_ino))
    found: list[FoundFile] = []
    failed: list[FailedInput] = []
    # Real folders come before links to them, so that cases keep the name of the real one.
    for entry in sorted(entries, key=lambda item: (item.is_symlink(), item.name)):
        path = Path(entry.path)
        if path.is_dir():
            below = SearchRoot(path, root.relative_folder / entry.name)
            more, less = _walk(below, seen, depth=depth + 1)
            found += more
            failed += less
        elif _is_file(path) and volume_ending(path) is not None:
            found.append(FoundFile(path, root.relative_folder, in_subfolder=depth > 0))
    if any(is_dicom(Path(entry.path)) for entry in entries):
        found.append(_dicom_folder(root, in_subfolder=depth > 1))
    return found, failed


def _dicom_folder(root: SearchRoot, *, in_subfolder: bool) -> FoundFile:
    """Return a folder of DICOM files, which is one input, named after the folder."""
    path = root.path if root.path.name not in {"", ".."} else real_path(root.path)
    return FoundFile(path, root.relative_folder.parent, in_subfolder=in_subfolder)


def _is_second_half(path: Path) -> bool:
    """Whether a file is the voxels of a header file beside it, which stands for both."""
    return path.suffix.lower() == ".img" and any(
        path.with_suffix(ending).exists() for ending in (".hdr", ".HDR")
    )


def _is_file(path: Path) -> bool:
    """Regular files and links to nothing; no pipes or devices, which could block for ever."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def _explain(text: str) -> str:
    """Say what was looked for and what is there instead."""
    path = Path(text)
    if is_glob(text):
        return f"no file matches the pattern {text} (looked for {_ENDINGS})"
    if path.is_dir():
        other = sorted(item.name for item in path.iterdir() if not item.name.startswith("."))
        there = f"it holds {', '.join(other[:_MAX_SUGGESTIONS])}" if other else "it is empty"
        more = f" and {len(other) - _MAX_SUGGESTIONS} more" if len(other) > _MAX_SUGGESTIONS else ""
        return f"no volume ({_ENDINGS}, DICOM) in the folder {text} or below it: {there}{more}"
    if path.exists():
        named = f"is no volume: its name ends in none of {_ENDINGS}"
        return f"{text} {_MAP if is_map(path) else named}"
    return f"{text} does not exist{_suggest(path)}"


def _suggest(path: Path) -> str:
    """Name files beside a missing one that are called nearly the same."""
    folder = path.parent
    if not folder.is_dir():
        return f" (nor does its folder {folder})"
    try:
        names = [item.name for item in folder.iterdir()]
    except OSError:
        return ""
    suggestions = difflib.get_close_matches(path.name, names, n=_MAX_SUGGESTIONS)
    return f"; did you mean {' or '.join(suggestions)}?" if suggestions else ""
