"""A temporary file without a name: nothing is left of it, however the process ends."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from unet_med.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Spool:
    """Bytes on the temporary disk, for what memory should not hold.

    Args:
        n_bytes: How many there will be; unwritten ones are 0.
        purpose: What is spooled, for messages: "the voxels of scan.nii.gz".

    Raises:
        OutputError: No temporary file can be made.
    """

    def __init__(self, n_bytes: int, *, purpose: str) -> None:
        self._n_bytes = n_bytes
        self._purpose = purpose
        with self._on_disk():
            # Unbuffered: on a full disk a buffer would fail again when it is closed.
            unnamed = tempfile.TemporaryFile(prefix="unet_med-", buffering=0)  # noqa: SIM115 - closed by close()
            self.file = cast("IO[bytes]", unnamed)
            try:
                self.file.truncate(n_bytes)
            except OSError:
                self.file.close()
                raise

    def write(self, content: bytes | memoryview, *, at: int | None = None) -> None:
        """Write bytes, or a C-ordered array's ``data``, at a place or after the last ones.

        Raises:
            OutputError: The disk is full or broken.
        """
        left = memoryview(content).cast("B")
        with self._on_disk():
            if at is not None:
                self.file.seek(at)
            while left:
                left = left[self.file.write(left) :]

    def close(self) -> None:
        """Close the file, which deletes it."""
        self.file.close()

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            msg = (
                f"cannot spool {self._purpose} in {tempfile.gettempdir()}: {exc.strerror}; free "
                f"{self._n_bytes / 1e9:.1f} GB there, or set TMPDIR to another folder"
            )
            raise OutputError(msg) from exc
