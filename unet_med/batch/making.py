"""Making one case, in whatever process: everything up to a finished mask under a hidden name."""

from __future__ import annotations

import logging
import platform
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from unet_med._files import sha256_file
from unet_med.backends import instruction_sets
from unet_med.batch.failures import Failure, failure_of
from unet_med.batch.maps import maps_content, partial_files
from unet_med.batch.resume import Verdict
from unet_med.batch.sidecar import MaskFile, Provenance, sidecar_content
from unet_med.batch.task import Task, Work, examine
from unet_med.batch.turn import Abandoned, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping
    from pathlib import Path

    from unet_med.segmenter import Segmenter

    Progress = Callable[[int, int], None]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Product:
    """A finished mask that is not under its name yet.

    Attributes:
        work: What it is the result of.
        partial: The mask's file, beside its target, proven.
        maps: The same of each map that was asked for, by kind.
        digest: SHA-256 of that file.
        sidecar: Content of the sidecar.
        seconds: Time per stage.
        volumes_ml: Volume per label.
        warnings: What a reader of the mask should know.
        host: Machine that made it.
        cpu: Its instruction sets that matter to a network, in one line.
    """

    work: Work
    partial: Path
    maps: Mapping[str, Path]
    digest: str
    sidecar: dict[str, Any]
    seconds: Mapping[str, float]
    volumes_ml: dict[str, float]
    warnings: tuple[str, ...]
    host: str
    cpu: str


Made = Product | Work | Failure
"""A mask; or a case that needs no work; or why there is no mask."""


class Loader(Protocol):
    """Loads the same network in any process."""

    @property
    def key(self) -> Hashable:
        """What tells loaders apart."""

    def load_elsewhere(self) -> Segmenter:
        """Load it in a process that did not resolve it."""

    def check_elsewhere(self) -> None:
        """Show that such a process can load it."""


def attempt(
    task: Task, work: Work | None, *, segmenter: Segmenter, turn: Turn, progress: Progress
) -> Made:
    """Make one case; an error of any kind becomes a failure.

    Args:
        task: The case.
        work: From `examine`, if that was done already.
        segmenter: Does it.
        turn: Gives the network to one case at a time.
        progress: Called with (slices done, slices in all).

    Raises:
        Abandoned: The run was stopped.
    """
    try:
        known = work or examine(task)
        if known.verdict is not Verdict.RUN:
            return known
        return _make(task, known, segmenter=segmenter, turn=turn, progress=progress)
    except Abandoned:
        raise
    except Exception as exc:
        logger.debug("%s failed", task.case.key, exc_info=True)
        return failure_of(exc)


def attempt_elsewhere(loader: Loader, task: Task, work: Work | None) -> Made:
    """Make one case in a process that serves a batch run by another one."""
    try:
        segmenter = _PROCESS.segmenter(loader)
    except Exception as exc:
        logger.debug("the network could not be loaded", exc_info=True)
        return failure_of(exc)
    return attempt(task, work, segmenter=segmenter, turn=_PROCESS.turn, progress=_say_nothing)


def load_process(loader: Loader) -> None:
    """Load the network in a process that serves, before its first case.

    Raises:
        UnetMedError: It cannot be loaded.
    """
    _PROCESS.segmenter(loader)


def _make(
    task: Task, work: Work, *, segmenter: Segmenter, turn: Turn, progress: Progress
) -> Product:
    case = task.case
    source = case.paths[0] if len(case.paths) == 1 else list(case.paths)
    with partial_files(task.mask, task.common.save) as (partial, maps):
        opened = segmenter.open(source, channel=case.channel, files=work.inputs)
        with turn.ticket(progress) as ticket:
            opened.share_network(ticket.guard)
            facts = opened.write_to(partial, ticket.follow, maps=maps)
        digest = sha256_file(partial)
        content_of_maps = maps_content(task.mask, maps)
    seconds = {"digest": work.seconds, **facts.seconds}
    seconds["total"] += work.seconds
    seconds["network"] -= ticket.waited_s  # another case had it
    provenance = Provenance(
        inputs=tuple(
            {"path": str(path), "sha256": sha256}
            for path, sha256 in zip(case.paths, work.inputs.sha256, strict=True)
        ),
        channel=case.channel,
        bundle=task.common.bundle,
        execution=task.common.execution.as_dict(),
        command_line=task.common.command_line,
        fingerprint=work.fingerprint,
    )
    file = MaskFile(task.mask.name, digest, seconds)
    return Product(
        work,
        partial,
        maps,
        digest,
        sidecar_content(facts, mask=file, provenance=provenance) | content_of_maps,
        seconds,
        facts.volumes_ml,
        facts.warnings,
        platform.node(),
        instruction_sets(),
    )


class _Process:
    """What a serving process keeps from case to case: the network last asked for."""

    def __init__(self) -> None:
        self.turn = Turn()
        self._lock = threading.Lock()
        self._loaded: tuple[Hashable, Segmenter] | None = None

    def segmenter(self, loader: Loader) -> Segmenter:
        with self._lock:
            if self._loaded is None or self._loaded[0] != loader.key:
                self._loaded = None  # the old one goes before the new one comes
                self._loaded = (loader.key, loader.load_elsewhere())
            return self._loaded[1]


_PROCESS = _Process()


def _say_nothing(_done: int, _total: int) -> None:
    pass
