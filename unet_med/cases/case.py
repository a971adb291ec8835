"""A case to segment, and the list of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True)
class Case:
    """One examination: its files and where its mask goes.

    Attributes:
        id: Name of the mask without its ending.
        relative_folder: Folder of the mask, relative to the output folder.
        paths: The files in the recipe's channel order; one file unless C > 1.
        channel: Which channel or frame of a 4D file to take; None = the file's only one, or all.
        problem: Why the case cannot run; it is then listed as failed, not lost.
    """

    id: str
    relative_folder: PurePosixPath
    paths: tuple[Path, ...]
    channel: int | None = None
    problem: str | None = None

    @property
    def key(self) -> str:
        """Relative folder and id, ``sub/a``: the name of the case in reports."""
        return (self.relative_folder / self.id).as_posix()


@dataclass(frozen=True, slots=True)
class CaseList:
    """Cases sorted by relative folder and id, and the rules they were found by, as text."""

    cases: tuple[Case, ...]
    rule: str
