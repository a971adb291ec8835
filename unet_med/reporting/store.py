"""Pictures of cases on disk until the page is written: memory holds one case at a time."""

from __future__ import annotations

import json
import shutil
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from unet_med._files import PARTIAL_PREFIX
from unet_med.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class PictureStore:
    """Pictures by case id, in a folder.

    Args:
        folder: Where to put them; it exists.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, Path] = {}
        self._sizes: dict[str, int] = {}

    def add(self, case: str, pictures: dict[str, Any]) -> None:
        """Keep the pictures of a case, as `unet_med.reporting.pictures` makes them.

        Raises:
            OutputError: They cannot be written.
        """
        self._write(case, json.dumps(pictures, allow_nan=False))

    def _write(self, case: str, text: str) -> None:
        path = self._files.get(case, self.folder / f"{uuid.uuid4().hex}.json")
        try:
            path.write_text(text, encoding="ascii")
        except OSError as exc:
            msg = f"cannot write {path}: {exc.strerror or exc}; check rights and free space"
            raise OutputError(msg) from exc
        self._files[case], self._sizes[case] = path, len(text)

    def read(self, case: str) -> dict[str, Any]:
        """Return the pictures of a case."""
        content: dict[str, Any] = json.loads(self._files[case].read_text(encoding="ascii"))
        return content

    def discard(self, case: str) -> None:
        """Forget the pictures of a case, if there are any."""
        if path := self._files.pop(case, None):
            path.unlink(missing_ok=True)
            del self._sizes[case]

    def __contains__(self, case: object) -> bool:
        """Whether the case has pictures."""
        return case in self._files

    def add_page(self, case: str, text: str) -> None:
        """Keep what a page holds of a case, in place of its pictures.

        Raises:
            OutputError: It cannot be written.
        """
        self._write(case, text)

    def read_page(self, case: str) -> str:
        """Return what `add_page` kept."""
        return self._files[case].read_text(encoding="ascii")

    @property
    def cases(self) -> tuple[str, ...]:
        """Cases with pictures, in the order they were added."""
        return tuple(self._files)

    @property
    def size(self) -> int:
        """Characters of all pictures."""
        return sum(self._sizes.values())


@contextmanager
def picture_store(output: Path) -> Iterator[PictureStore]:
    """Yield a store in a hidden folder beside the report, and remove it.

    Raises:
        OutputError: The folder cannot be made.
    """
    folder = output / f"{PARTIAL_PREFIX}{uuid.uuid4().hex}.report"
    try:
        folder.mkdir(parents=True)
    except OSError as exc:
        msg = f"cannot make the folder {folder}: {exc.strerror or exc}; choose another --output"
        raise OutputError(msg) from exc
    try:
        yield PictureStore(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
