"""Read and write files: gzip streams by ISA-L, read errors as VolumeError, checks of file sizes.

ISA-L packs and unpacks several times as fast as zlib.
"""

from __future__ import annotations

import gzip
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final, cast

from isal import igzip, isal_zlib
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from unet_med.errors import GeometryError, OutputError, VolumeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GZIP_LEVEL = 1
"""Compression level of masks, 0 to 3.

Four classes on 512 × 512 × 200 voxels, seconds and megabytes in one run: level 1 0.04 and 0.92;
zlib's level 4 1.6 and 0.92, its level 1 1.7 and 1.21.
"""

GZIP_ERRORS: Final = (cast("type[Exception]", isal_zlib.error), gzip.BadGzipFile)
"""What is raised on reading bytes that are no gzip stream, or a damaged one.

A stream without its end raises EOFError.
"""

MAX_TRAILING_BYTES = 1 << 20
"""What may follow the voxels unread, such as padding; with more, header and data do not belong
together."""

MAX_DEFLATE_RATIO = 1032
"""More than this no deflated byte can become."""

_NO_FILE = {
    FileNotFoundError: "does not exist",
    IsADirectoryError: "is a folder, not a NIfTI file",
}
_MAGIC = b"\x1f\x8b"


def open_stream(path: Path, *, compressed: bool | None = None) -> IO[bytes]:
    """Open a file for reading, through gzip when it is compressed.

    Args:
        path: The file.
        compressed: Whether it is; None = when its name ends in .gz.

    Raises:
        BadGzipFile: It should be compressed and is not.
    """
    if not (path.suffix.lower() == ".gz" if compressed is None else compressed):
        return path.open("rb")
    with path.open("rb") as plain:
        start = plain.read(len(_MAGIC))
    if start and start != _MAGIC:  # ISA-L calls a foreign file that is short merely cut off
        msg = f"it starts with {start!r}"
        raise gzip.BadGzipFile(msg)
    return cast("IO[bytes]", igzip.open(path))


def gzip_writer(plain: IO[bytes]) -> IO[bytes]:
    """Pack what is written into an open file.

    The stream holds neither a name nor a time, so that equal masks are equal files.
    """
    compressed: Any = igzip.IGzipFile(
        filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=plain, mtime=0
    )
    return cast("IO[bytes]", compressed)


@contextmanager
def translate_read_errors(path: Path) -> Iterator[None]:
    """Turn what the system, gzip and nibabel raise while reading a file into one VolumeError."""
    try:
        yield
    except OutputError:  # of the temporary disk; it says what to do
        raise
    except (FileNotFoundError, IsADirectoryError) as exc:
        msg = f"{path} {_NO_FILE[type(exc)]}; check the path"
        raise VolumeError(msg) from exc
    except EOFError as exc:
        msg = f"{path} is cut off: its gzip stream has no end; copy or download it again"
        raise VolumeError(msg) from exc
    except GZIP_ERRORS as exc:
        msg = f"{path} is not intact gzip data ({_one_line(exc)}); copy or download it again"
        raise VolumeError(msg) from exc
    except OSError as exc:
        msg = f"{path} cannot be read: {exc.strerror or _one_line(exc)}; check rights and the disk"
        raise VolumeError(msg) from exc
    except (HeaderDataError, WrapStructError, GeometryError, KeyError, ValueError) as exc:
        if isinstance(exc, VolumeError):
            raise
        msg = f"{path} has a header that cannot be used: {_one_line(exc)}; convert the scan again"
        raise VolumeError(msg) from exc


def check_file_size(path: Path, *, found: int, needed: int, compressed: bool) -> None:
    """Refuse a file that cannot hold what its header says.

    Args:
        path: The file.
        found: Its size in bytes.
        needed: Bytes of the voxels.
        compressed: Whether they are deflated.

    Raises:
        VolumeError: It is too small.
    """
    if found * (MAX_DEFLATE_RATIO if compressed else 1) < needed:
        msg = (
            f"{path} is cut off: {found} bytes cannot hold the {needed} that its header says; "
            "copy or download it again"
        )
        raise VolumeError(msg)


def check_trailing_bytes(path: Path, n_bytes: int) -> None:
    """Refuse a file with far more data than its header says.

    Args:
        path: The file.
        n_bytes: How many bytes follow the last voxel; for a compressed file at least so many.

    Raises:
        VolumeError: They are more than `MAX_TRAILING_BYTES`.
    """
    if n_bytes > MAX_TRAILING_BYTES:
        msg = (
            f"{path} goes on for {n_bytes} bytes or more after the voxels that its header says: "
            "header and data do not fit together; convert the scan again"
        )
        raise VolumeError(msg)


def _one_line(exc: BaseException) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
