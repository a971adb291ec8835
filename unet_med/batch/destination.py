"""Name the files of masks, and check that their folder can be written."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unet_med._files import PARTIAL_PREFIX, real_path
from unet_med.errors import InputError, OutputError
from unet_med.volumes import MASK_FORMATS, WRITERS, map_name, mask_ending

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from unet_med.cases.case import Case

FILE_ENDINGS = tuple(WRITERS)
"""An output that ends so is one file, anything else a folder."""

_PROBE_BYTES = 1 << 16
_PARTIAL = re.compile(rf"(?:{re.escape(PARTIAL_PREFIX)}[0-9a-f]{{32}}\.)+(?P<name>.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Destination:
    """Name an output folder, or one file in it.

    Attributes:
        folder: Where the ledger lies and relative folders begin.
        file_name: Name of the only mask, when the output is one file; its ending is its format.
        format: Key of ``MASK_FORMATS``, or ``input`` for each scan's own.

    Raises:
        InputError: There is no such format.

    Example:
        >>> from pathlib import PurePosixPath
        >>> from unet_med.cases import Case
        >>> case = Case("knee", PurePosixPath("monday"), (Path("scans/monday/knee.mha"),))
        >>> Destination(Path("masks")).mask_path(case).as_posix()
        'masks/monday/knee.nii.gz'
        >>> Destination(Path("masks"), format="input").ledger_key(case)
        'monday/knee.mha'
    """

    folder: Path
    file_name: str | None = None
    format: str = "nifti"

    def __post_init__(self) -> None:
        known = (*MASK_FORMATS, "input")
        if self.format not in known:
            msg = f"format must be one of {', '.join(known)}, got {self.format!r}"
            raise InputError(msg)

    @classmethod
    def parse(cls, output: str | PathLike[str], *, format: str = "nifti") -> Destination:  # noqa: A002
        """Read ``--output``: a name that ends like a mask is a file unless a folder has it.

        Example:
            >>> Destination.parse("out/a.nii.gz").file_name, Destination.parse("out").file_name
            ('a.nii.gz', None)
        """
        path = Path(output)
        if path.name.lower().endswith(FILE_ENDINGS) and not path.is_dir():
            return cls(path.parent, path.name, format)
        return cls(path, format=format)

    def mask_path(self, case: Case) -> Path:
        """Return where the mask of a case goes."""
        if self.file_name is not None:
            return self.folder / self.file_name
        scan = case.paths[0] if case.paths else Path(case.id)
        ending = MASK_FORMATS["nifti"] if case.problem else mask_ending(scan, self.format)
        return self.folder / case.relative_folder / f"{case.id}{ending}"

    def ledger_key(self, case: Case) -> str:
        """Return the mask's path relative to the ledger, with forward slashes."""
        return self.mask_path(case).relative_to(self.folder).as_posix()


def sidecar_path(mask: Path) -> Path:
    """Return the JSON file beside a mask.

    Example:
        >>> sidecar_path(Path("out/a.nii.gz")).name
        'a.json'
    """
    ending = next(end for end in FILE_ENDINGS if mask.name.lower().endswith(end))
    return mask.with_name(mask.name[: -len(ending)] + ".json")


def map_path(mask: Path, kind: str) -> Path:
    """Return where a map goes: beside its mask, a NIfTI file whatever the mask is.

    Example:
        >>> map_path(Path("out/a.nii.gz"), "entropy").name
        'a.entropy.nii.gz'
    """
    return mask.with_name(map_name(sidecar_path(mask).name.removesuffix(".json"), kind))


def check_destination(
    destination: Destination, cases: Sequence[Case], *, maps: Sequence[str] = ()
) -> None:
    """Refuse outputs that cannot be right, before anything is written.

    Args:
        destination: Where masks go.
        cases: What they are made of.
        maps: Kinds of maps wanted beside every mask.

    Raises:
        InputError: One file for several cases, a mask that would replace an input, or two
            masks, or a mask and another's map, with one name.
    """
    if destination.file_name is not None and len(cases) > 1:
        names = ", ".join(case.key for case in cases[:3])
        msg = (
            f"{len(cases)} cases ({names}{', …' if len(cases) > 3 else ''}) cannot go into the "  # noqa: PLR2004 - shown
            f"one file {destination.file_name}; give a folder as --output"
        )
        raise InputError(msg)
    inputs = {real_path(path) for case in cases for path in case.paths}
    targets: set[str] = set()
    for case in cases:
        target = destination.mask_path(case)
        if real_path(target) in inputs:
            msg = f"the mask of {case.key} would replace the scan {target}; choose another output"
            raise InputError(msg)
        for path in (target, *(map_path(target, kind) for kind in maps)):
            if str(path) in targets:
                msg = f"two cases would be written as {path}; rename one or segment them apart"
                raise InputError(msg)
            targets.add(str(path))


def create_output_folder(destination: Destination) -> None:
    """Make the output folder and show that it can hold something.

    Raises:
        OutputError: It is no folder, or nothing can be written there.
    """
    folder = destination.folder
    probe = folder / f"{PARTIAL_PREFIX}{uuid.uuid4().hex}.probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(bytes(_PROBE_BYTES))
    except (FileExistsError, NotADirectoryError) as exc:
        msg = f"the output {folder} is not a folder; choose another --output"
        raise OutputError(msg) from exc
    except OSError as exc:
        msg = f"cannot write to {folder}: {exc.strerror or exc}; check rights and free space"
        raise OutputError(msg) from exc
    finally:
        _remove(probe)


def remove_leftovers(destination: Destination, cases: Sequence[Case]) -> int:
    """Remove unfinished files that killed runs left where this run writes; return how many.

    Only files with this program's own prefix are touched; with one output file only those of
    that file, since another run may be writing beside it.
    """
    folders = {destination.folder} | {destination.mask_path(case).parent for case in cases}
    removed = 0
    for folder in folders:
        for path in folder.glob(f"{PARTIAL_PREFIX}*"):
            match = _PARTIAL.fullmatch(path.name)
            if match and _is_ours(match["name"], destination) and _remove(path):
                removed += 1
    return removed


def _is_ours(name: str, destination: Destination) -> bool:
    only = destination.file_name
    return only is None or name in {only, sidecar_path(Path(only)).name}


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True
