"""Gzip streams, packed and unpacked by ISA-L: several times as fast as zlib."""

from __future__ import annotations

import gzip
from typing import IO, TYPE_CHECKING, Any, Final, cast

from isal import igzip, isal_zlib

if TYPE_CHECKING:
    from pathlib import Path

GZIP_LEVEL = 1
"""Compression level of masks, 0 to 3.

Four classes on 512 × 512 × 200 voxels, seconds and megabytes in one run: level 1 0.04 and 0.92;
zlib's level 4 1.6 and 0.92, its level 1 1.7 and 1.21.
"""

DAMAGED: Final = (cast("type[Exception]", isal_zlib.error), gzip.BadGzipFile)
"""What is raised on reading bytes that are no gzip stream, or a damaged one.

A stream without its end raises EOFError.
"""

_MAGIC = b"\x1f\x8b"


def open_stream(path: Path, *, packed: bool | None = None) -> IO[bytes]:
    """Open a file for reading, through gzip when it is packed.

    Args:
        path: The file.
        packed: Whether it is; None = when its name ends in .gz.

    Raises:
        BadGzipFile: It should be packed and is not.
    """
    if not (path.suffix.lower() == ".gz" if packed is None else packed):
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
    packed: Any = igzip.IGzipFile(
        filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=plain, mtime=0
    )
    return cast("IO[bytes]", packed)
