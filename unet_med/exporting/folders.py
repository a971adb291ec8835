"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from unet_med._files import PARTIAL_PREFIX
from unet_med.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUNDLE_PARTS = (
    "LICENSE*", "configs/*", "docs/*.md", "docs/*.txt", "models/model.pt", "sample_data/*.txt",
    "sample_data/demo/**/*",
)  # fmt: skip
"""What a copy of a bundle takes along: never code, nor models of an earlier export."""

LEFTOVER_S = 86_400.0
"""Seconds after which a folder that was not finished counts as left by a killed run."""


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a hidden sibling folder to fill; it takes the target's place when the block succeeds.

    Args:
        target: The final folder; what is there is replaced.

    Yields:
        An empty folder, removed when the block fails.

    Raises:
        OutputError: The folder cannot be written.
    """
    partial = _sibling(target)
    try:
        partial.mkdir(parents=True)
        _remove_leftovers(target)
        yield partial
        _flush_files(partial)
        _replace(partial, target)
    except OSError as exc:
        if isinstance(exc, OutputError) or exc.errno is None:
            raise
        msg = f"cannot write {target}: {exc.strerror or exc}; check rights and free space"
        raise OutputError(msg) from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def copy_bundle(root: Path, target: Path) -> None:
    """Copy a bundle's own files, without models of an earlier export.

    Args:
        root: The bundle.
        target: An existing, empty folder.
    """
    for pattern in BUNDLE_PARTS:
        for source in filter(os.path.isfile, sorted(root.glob(pattern))):
            copy = target / source.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)


def refuse_read_only(root: Path) -> None:
    """Refuse a bundle that an export cannot be written into.

    Raises:
        OutputError: It is installed, or its folder is not writable.
    """
    if root.name == "_bundle" or not _is_writable(root / "models"):
        msg = f"the bundle {root} is installed read-only: name a folder for a copy with --output"
        raise OutputError(msg)


def _is_writable(folder: Path) -> bool:
    probe = folder / ".unet_med-probe"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


def _sibling(target: Path) -> Path:
    return target.with_name(f"{PARTIAL_PREFIX}{uuid.uuid4().hex}.{target.name}")


def _remove_leftovers(target: Path) -> None:
    """Remove what runs that were killed have left beside the target.

    Only what nobody has touched for a day: another process may be filling its own.
    """
    latest = time.time() - LEFTOVER_S
    for path in target.parent.iterdir():
        mine = path.name.startswith(PARTIAL_PREFIX) and path.name.endswith(f".{target.name}")
        with suppress(OSError):  # it may be finished, and renamed, in this moment
            if mine and path.is_dir() and path.stat().st_mtime < latest:
                shutil.rmtree(path, ignore_errors=True)


def _flush_files(folder: Path) -> None:
    for path in filter(os.path.isfile, folder.rglob("*")):
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())


def _replace(partial: Path, target: Path) -> None:
    """Rename; between the two renames there is no target, which reads as "no export"."""
    if not target.exists():
        partial.rename(target)
        return
    old = _sibling(target)
    target.rename(old)
    try:
        partial.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
