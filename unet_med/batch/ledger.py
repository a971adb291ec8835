"""Keep the append-only record of a batch, ``ledger.jsonl``: one JSON object a line.

Order of what is written for one case, so that a kill at any moment loses nothing:

1. ``started`` with the fingerprint;
2. the mask under a hidden name beside its target, read back and verified;
3. ``writing`` with the mask's digest; only then is the mask renamed onto its target, so a mask
   under its final name is always known to the ledger as ours;
4. the sidecar, whole;
5. ``done`` with fingerprint and digest.

Killed before 3, the target is untouched. Killed between 3 and 5, the next run sees no
``done`` with this fingerprint, knows the mask by its digest and makes it again. Every line is
flushed to disk before the next step. A line torn by a crash is passed over.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from unet_med.batch.file_lock import lock_file
from unet_med.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

LEDGER_NAME = "ledger.jsonl"
MAX_UNFINISHED_STARTS = 2
"""So many starts without an end, and the case is taken to kill the process."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Status(StrEnum):
    """Name what happened to a case, as a line of the ledger says it.

    Example:
        >>> Status("done") is Status.DONE, str(Status.SKIPPED)
        (True, 'skipped')
    """

    STARTED = "started"
    WRITING = "writing"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    PENDING = "pending"  # of a dry run; never in a ledger


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line.

    Attributes:
        case: Relative folder and id.
        output: The mask, relative to the ledger's folder, with ``/``: the key of the record.
        status: What happened.
        fingerprint: SHA-256 of what determines the voxels.
        mask_sha256: SHA-256 of the mask file.
        seconds: Time per stage.
        error: Why it failed.
        reason: The kind of failure.
        killed: The failure is that the process died more than once on this case.
        host: Machine that made the mask.
        cpu: The instruction sets it had for that.
        time: UTC, ISO 8601.
    """

    case: str
    output: str
    status: Status
    fingerprint: str | None = None
    mask_sha256: str | None = None
    seconds: dict[str, float] | None = None
    error: str | None = None
    reason: str | None = None
    killed: bool = False
    host: str | None = None
    cpu: str | None = None
    time: str = field(default_factory=_now)

    def with_status(self, status: Status, **changes: Any) -> LedgerEntry:  # noqa: ANN401 - fields of the entry
        """Return the line for another status of the same work, with the time of now."""
        return replace(self, status=status, time=_now(), **changes)


@dataclass(frozen=True, slots=True)
class OutputHistory:
    """What the lines about one output add up to.

    Attributes:
        written: Digests of all masks the ledger has ever written there.
        done: The last ``done`` line.
        unfinished_starts: Starts of ``unfinished_fingerprint`` since the last end.
        unfinished_fingerprint: What the last start was for.
        killed_fingerprint: What was last given up as killing the process.
    """

    written: frozenset[str] = frozenset()
    done: LedgerEntry | None = None
    unfinished_starts: int = 0
    unfinished_fingerprint: str | None = None
    killed_fingerprint: str | None = None

    def after(self, entry: LedgerEntry) -> OutputHistory:
        """Return the history with one more line."""
        written = self.written | ({entry.mask_sha256} if entry.mask_sha256 else frozenset())
        if entry.status is Status.STARTED:
            same = entry.fingerprint == self.unfinished_fingerprint
            starts = self.unfinished_starts + 1 if same else 1
            return replace(
                self,
                written=written,
                unfinished_starts=starts,
                unfinished_fingerprint=entry.fingerprint,
            )
        if entry.status is Status.WRITING:
            return replace(self, written=written)
        if entry.status is Status.FAILED:
            # A failure before the inputs were digested says nothing about the killing work.
            killed = self.killed_fingerprint if entry.fingerprint is None else None
            killed = entry.fingerprint if entry.killed else killed
            return OutputHistory(written, self.done, killed_fingerprint=killed)
        return OutputHistory(written, entry if entry.status is Status.DONE else self.done)

    @property
    def is_suspect(self) -> bool:
        """Whether this work was in flight when the process was killed, and may have killed it.

        It goes alone, so that no other case shares the blame if it does so again.
        """
        return self.unfinished_starts > 0 and self.unfinished_fingerprint is not None

    def killed_process(self, fingerprint: str) -> bool:
        """Return whether this work has killed the process before, more than by accident."""
        killed_again = (
            self.unfinished_fingerprint == fingerprint
            and self.unfinished_starts >= MAX_UNFINISHED_STARTS
        )
        return killed_again or self.killed_fingerprint == fingerprint


class Ledger:
    """An open ledger: its past by output, and a way to add lines."""

    def __init__(self, path: Path, entries: Iterable[LedgerEntry], *, torn: bool) -> None:
        self.path = path
        self._torn = torn
        self._histories: dict[str, OutputHistory] = {}
        for entry in entries:
            self._add(entry)

    def history(self, output: str) -> OutputHistory:
        """Return what is known of one output; empty for a new one."""
        return self._histories.get(output, OutputHistory())

    def append(self, entry: LedgerEntry, *, flush: bool = True) -> None:
        """Add one line and flush it to disk.

        Args:
            entry: The line.
            flush: Wait until the disk has it. Lines whose loss costs nothing need not.

        Raises:
            OutputError: The line could not be written.
        """
        content = {k: v for k, v in asdict(entry).items() if v is not None and v is not False}
        line = json.dumps(content, allow_nan=False) + "\n"
        # A torn line before this one, of a crash or a full disk, is closed first.
        data = ("\n" + line if self._torn else line).encode()
        self._torn = True
        try:
            with self.path.open("ab", buffering=0) as stream:
                written = stream.write(data)
                if flush:
                    os.fsync(stream.fileno())
        except OSError as exc:
            msg = f"cannot add to the ledger {self.path}: {exc.strerror or exc}; check free space"
            raise OutputError(msg) from exc
        if written != len(data):
            msg = f"cannot add to the ledger {self.path}: the disk is full"
            raise OutputError(msg)
        self._torn = False
        self._add(entry)

    def _add(self, entry: LedgerEntry) -> None:
        self._histories[entry.output] = self.history(entry.output).after(entry)


@contextmanager
def open_ledger(folder: Path, *, exclusive: bool) -> Iterator[Ledger]:
    """Open the ledger of an output folder and keep it from other runs meanwhile.

    Args:
        folder: Where the ledger lies; it exists.
        exclusive: No other run at all; otherwise runs that write one file each may share it.

    Yields:
        The ledger.

    Raises:
        OutputError: It cannot be written, another run holds it, or the file is no ledger.
    """
    path = folder / LEDGER_NAME
    try:
        stream = path.open("a+b")
    except OSError as exc:
        msg = f"cannot open the ledger {path}: {exc.strerror or exc}; check folder and rights"
        raise OutputError(msg) from exc
    with stream:
        lock_file(stream, path, exclusive=exclusive)
        stream.seek(0)
        entries, torn = _parse(stream.read(), path)
        yield Ledger(path, entries, torn=torn)


def read_entries(path: Path) -> list[LedgerEntry]:
    """Return the lines of a ledger that another run may be writing; none if there is no file.

    Raises:
        OutputError: The file is no ledger.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return []
    return _parse(data, path)[0]


def read_ledger(folder: Path) -> Ledger:
    """Read the ledger of an output folder, which need not exist, without holding it.

    Raises:
        OutputError: It cannot be read, or the file is no ledger.
    """
    path = folder / LEDGER_NAME
    try:
        data = path.read_bytes() if path.exists() else b""
    except OSError as exc:
        msg = f"cannot read the ledger {path}: {exc.strerror or exc}; check its rights"
        raise OutputError(msg) from exc
    entries, torn = _parse(data, path)
    return Ledger(path, entries, torn=torn)


def _parse(data: bytes, path: Path) -> tuple[list[LedgerEntry], bool]:
    """Read all whole lines; the second value says that the last one is torn."""
    entries: list[LedgerEntry] = []
    lines = data.split(b"\n")
    torn = lines[-1] != b""
    for line in lines:
        entry = _entry(line)
        if entry is not None:
            entries.append(entry)
        elif line.strip():
            logger.debug("passed over a torn line in %s", path)
    whole = [line for line in lines[:-1] if line.strip()]
    if whole and not entries:
        msg = f"{path} is not a ledger of this program: move it away or choose another output"
        raise OutputError(msg)
    return entries, torn


def _entry(line: bytes) -> LedgerEntry | None:
    """Read one line; None for what is not one of ours."""
    try:
        content: Any = json.loads(line)
        known = {
            name: content[name] for name in LedgerEntry.__dataclass_fields__ if name in content
        }
        entry = LedgerEntry(**(known | {"status": Status(content["status"])}))
        return entry if _is_valid(entry) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _is_valid(entry: LedgerEntry) -> bool:
    """Whether what a line says has the types that this program writes: the file may be damaged."""
    texts = (entry.case, entry.output, entry.time)
    maybe = (entry.fingerprint, entry.mask_sha256, entry.error)
    return all(isinstance(text, str) for text in texts) and all(
        text is None or isinstance(text, str) for text in maybe
    )
