"""The files behind scans: their digests, and whether they stayed as they were."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med._files import sha256_file
from unet_med.errors import InputError, VolumeError
from unet_med.volumes.dicom_series import dicom_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    FileState = tuple[str, int, int, int]  # path, size, time of change, inode


@dataclass(frozen=True, slots=True)
class InputFiles:
    """Hold scan files as they were when they were digested.

    Attributes:
        paths: What was named, in channel order.
        sha256: Digest of each; of a .hdr and .img pair, of both files together.
        states: Size, time and identity of every file.

    Example:
        >>> files = InputFiles.digest([Path(__file__)])
        >>> files.check_unchanged()
        >>> len(files.sha256[0])
        64
    """

    paths: tuple[Path, ...]
    sha256: tuple[str, ...]
    states: tuple[FileState, ...]

    @classmethod
    def digest(cls, paths: Sequence[Path]) -> InputFiles:
        """Digest files.

        Raises:
            InputError: A file cannot be read.
        """
        states = _states(paths)  # before reading, so that a change meanwhile shows
        return cls(tuple(paths), tuple(_digest(path) for path in paths), states)

    def check_unchanged(self) -> None:
        """Refuse files that are no longer those that were digested.

        Raises:
            InputError: A file was changed, replaced or removed meanwhile.
        """
        for before, now in zip(self.states, _states(self.paths), strict=False):
            if before != now:
                msg = f"{before[0]} was changed while it was read; run again when it is complete"
                raise InputError(msg)


def digest_inputs(source: Any) -> InputFiles | None:  # noqa: ANN401 - whatever can be segmented
    """Digest a source that is a path or a list of paths; None for images in memory.

    Raises:
        InputError: A file cannot be read.

    Example:
        >>> digest_inputs(("array", "affine")) is None  # an image in memory
        True
    """
    parts = source if isinstance(source, list) else [source]
    if not parts or not all(isinstance(part, str | Path) for part in parts):
        return None
    return InputFiles.digest([Path(part) for part in parts])


def volume_files(path: Path) -> list[Path]:
    """Return the files of one volume: itself, and its other half if it has one.

    Of a DICOM folder, all DICOM files in it: which of them are the scan depends on their content.
    """
    if path.is_dir():
        return dicom_files(path)
    if path.suffix.lower() in {".mhd", ".nhdr"}:
        return list(dict.fromkeys([path, _voxels_of(path)]))
    halves = {".hdr": (".img", ".IMG", ".img.gz"), ".img": (".hdr", ".HDR")}
    others = (path.with_suffix(ending) for ending in halves.get(path.suffix.lower(), ()))
    return [path, *(other for other in others if other.is_file())][:2]


def _voxels_of(path: Path) -> Path:
    from unet_med.volumes.nrrd_metaimage_header import read_nrrd_metaimage_header  # loads nibabel

    try:
        return read_nrrd_metaimage_header(path).data_path
    except VolumeError:  # opening it says why
        return path


def _digest(path: Path) -> str:
    try:
        parts = [sha256_file(part) for part in volume_files(path)]
    except OSError as exc:
        msg = f"cannot read {path}: {exc.strerror or exc}; check the file and its rights"
        raise InputError(msg) from exc
    whole = hashlib.sha256("".join(parts).encode()).hexdigest()
    return parts[0] if len(parts) == 1 else whole


def _states(paths: Sequence[Path]) -> tuple[FileState, ...]:
    return tuple(_state(part) for path in paths for part in volume_files(path))


def _state(path: Path) -> FileState:
    try:
        found = path.stat()
    except OSError:
        return str(path), -1, 0, 0  # digesting it says why; later it is a change
    return str(path), found.st_size, found.st_mtime_ns, found.st_ino
