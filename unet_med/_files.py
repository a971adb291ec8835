"""Atomic writes, bounded JSON, digests."""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTIAL_PREFIX = ".unet_med-partial-"
"""Start of the name of every file that is still being written."""

MAX_JSON_BYTES = 1 << 24
"""Largest JSON file that is read; recipes and sidecars have kilobytes."""

_BLOCK_BYTES = 1 << 20
_MAX_SUFFIX_LENGTH = 16


_NUMBER = r"(?:-?\d[\d.eE+-]*|null)"
_NUMBER_LIST = re.compile(
    rf"\[\n\s*({_NUMBER}(?:,\n\s*{_NUMBER})*)\n\s*\]"
)  # no string holds a break
_LINE_BREAK = re.compile(r",\n\s*")


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a hidden sibling to write to; rename it onto the target when the block succeeds.

    The sibling keeps the target's ending, since writers choose the format by it. It is
    flushed to disk before the rename and removed when the block fails.

    Args:
        target: The final path; its folder is created.

    Yields:
        The path to write to.

    Raises:
        OutputError: The folder or the file cannot be written.
    """
    with partial_file(target) as partial:
        yield partial
        publish(partial, target)


@contextmanager
def partial_file(target: Path) -> Iterator[Path]:
    """Yield a hidden sibling to write to; it stays when the block succeeds, for `publish`.

    Args:
        target: The final path; its folder is created.

    Yields:
        The path to write to, with the target's ending.

    Raises:
        OutputError: The folder or the file cannot be written.
    """
    ending = target.name[-_MAX_SUFFIX_LENGTH:]  # not all of the name: names have a longest length
    partial = target.with_name(f"{PARTIAL_PREFIX}{uuid.uuid4().hex}.{ending}")
    with _raise_output_error(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            yield partial
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise


def publish(partial: Path, target: Path) -> None:
    """Flush a finished file to disk and rename it onto its target.

    Raises:
        OutputError: It cannot be flushed or renamed.
    """
    with _raise_output_error(target):
        flush_to_disk(partial)
        partial.replace(target)
        with suppress(OSError):  # the file is whole; some network folders cannot be flushed
            flush_to_disk(target.parent)


@contextmanager
def _raise_output_error(target: Path) -> Iterator[None]:
    """Say which target could not be written, and why."""
    try:
        yield
    except OSError as exc:
        if exc.errno is None:  # raised by a library, or by us, with a text of its own
            raise
        msg = (
            f"cannot write {target}: {exc.strerror or exc}; check the folder, rights and free space"
        )
        raise OutputError(msg) from exc


def real_path(path: Path) -> Path:
    """Return where a path leads, links followed; a loop of links leads to itself.

    ``Path.resolve`` raises on such loops before Python 3.13.
    """
    return Path(os.path.realpath(path))


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def write_json(path: Path, content: Any) -> None:  # noqa: ANN401 - anything json can hold
    """Write JSON atomically, indented, ending in a newline; NaN and infinity are refused.

    Lists of plain numbers stand on one line each.

    Raises:
        ValueError: The content holds NaN or infinity.
        OutputError: The file cannot be written.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    text = _NUMBER_LIST.sub(lambda match: f"[{_LINE_BREAK.sub(', ', match[1])}]", text)
    with atomic_path(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path, *, max_bytes: int = MAX_JSON_BYTES) -> Any:  # noqa: ANN401 - parsed JSON
    """Read a JSON file of bounded size; NaN and infinity are refused.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is too large, no UTF-8, no JSON, or nested too deeply.
    """
    with path.open("rb") as stream:
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        msg = f"it is larger than {max_bytes} bytes"
        raise ValueError(msg)
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError as exc:
        msg = "it is nested too deeply"
        raise ValueError(msg) from exc


def _refuse_constant(text: str) -> None:
    msg = f"{text} is no JSON number; use null"
    raise ValueError(msg)


def flush_to_disk(path: Path) -> None:
    """Fsync a file or a folder; folders cannot be opened on Windows and are left alone there."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
