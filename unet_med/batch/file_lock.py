"""One run at a time on an output folder: a lock that the system drops when the process ends."""

from __future__ import annotations

import logging
import sys
from typing import IO, TYPE_CHECKING

from unet_med.errors import OutputError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

_LOCKED_BYTE = 1 << 40
"""A byte behind any ledger: locks of Windows keep others from the bytes they cover."""


def lock_file(stream: IO[bytes], path: Path, *, exclusive: bool) -> None:
    """Lock an open file until it is closed or the process ends in any way, SIGKILL included.

    Args:
        stream: The open file.
        path: Its path, for messages.
        exclusive: No other run at all; otherwise runs that write one file each may share it.

    Raises:
        OutputError: Another run holds it.
    """
    try:
        _lock(stream, exclusive=exclusive)
    except (BlockingIOError, PermissionError) as exc:  # on Windows the latter
        msg = f"another run is writing to {path.parent}: wait for it or choose another output"
        raise OutputError(msg) from exc
    except OSError as exc:  # some network file systems have no locks
        logger.warning(
            "%s cannot be locked (%s): see to it that no other run writes to this folder",
            path,
            exc.strerror or exc,
        )


if sys.platform == "win32":

    def _lock(stream: IO[bytes], *, exclusive: bool) -> None:
        if exclusive:  # there are no shared locks; runs of one file each are not kept apart
            stream.seek(_LOCKED_BYTE)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
            stream.seek(0)

else:

    def _lock(stream: IO[bytes], *, exclusive: bool) -> None:
        fcntl.flock(
            stream.fileno(), (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB
        )
