"""Run one case in any process up to a verified mask under a hidden name, and commit the result."""

from __future__ import annotations

import logging
import platform
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from unet_med._files import publish, sha256_file
from unet_med.backends import instruction_sets
from unet_med.batch.destination import sidecar_path
from unet_med.batch.ledger import Ledger, LedgerEntry, Status
from unet_med.batch.network_lock import NetworkLock, RunStopped
from unet_med.batch.report import Failure, Outcome, failure_of
from unet_med.batch.resume import ResumeDecision
from unet_med.batch.sidecar import (
    CaseProvenance,
    MaskFile,
    maps_content,
    partial_files,
    replace_maps,
    sidecar_content,
    write_sidecar,
)
from unet_med.batch.task import PreparedTask, Task, prepare, refuse_changed_mask

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from pathlib import Path

    from unet_med._progress import Progress
    from unet_med.segmenter import CaseReport, Segmenter

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A finished mask that is not under its name yet.

    Attributes:
        prepared: What it is the result of.
        partial: The mask's file, beside its target, verified.
        maps: The same of each map that was asked for, by kind.
        mask_sha256: SHA-256 of that file.
        sidecar: Content of the sidecar.
        seconds: Time per stage.
        volumes_ml: Volume per label.
        warnings: What a reader of the mask should know.
        host: Machine that made it.
        cpu: Its instruction sets that matter to a network, in one line.
    """

    prepared: PreparedTask
    partial: Path
    maps: Mapping[str, Path]
    mask_sha256: str
    sidecar: dict[str, Any]
    seconds: Mapping[str, float]
    volumes_ml: dict[str, float]
    warnings: tuple[str, ...]
    host: str
    cpu: str


WorkerResult = CaseResult | PreparedTask | Failure
"""A mask; or a case that needs no work; or why there is no mask."""


class Loader(Protocol):
    """Loads the same network in any process."""

    @property
    def key(self) -> Hashable:
        """What tells loaders apart."""

    def load_in_worker(self) -> Segmenter:
        """Load it in a process that did not resolve it."""

    def check_in_worker(self) -> None:
        """Show that such a process can load it."""


def run_case(
    task: Task,
    prepared: PreparedTask | None,
    *,
    segmenter: Segmenter,
    network_lock: NetworkLock,
    progress: Progress,
) -> WorkerResult:
    """Make one case; an error of any kind becomes a failure.

    Args:
        task: The case.
        prepared: From `prepare`, if that was done already.
        segmenter: Does it.
        network_lock: Gives the network to one case at a time.
        progress: Called with (slices done, slices in all).

    Raises:
        RunStopped: The run was stopped.
    """
    try:
        known = prepared or prepare(task)
        if known.decision is not ResumeDecision.RUN:
            return known
        case = task.case
        source = case.paths[0] if len(case.paths) == 1 else list(case.paths)
        with partial_files(task.mask, task.context.save_maps) as (partial, maps):
            case_inference = segmenter.open(source, channel=case.channel, files=known.inputs)
            with network_lock.for_case(progress) as case_lock:
                locked = case_inference.with_predictors(case_lock.wrap)
                case_report = locked.write_to(partial, case_lock.report_progress, maps=maps)
            waited_s = case_lock.waited_s
            return _case_result(
                task, known, case_report, partial=partial, maps=maps, waited_s=waited_s
            )
    except RunStopped:
        raise
    except Exception as exc:
        logger.debug("%s failed", task.case.key, exc_info=True)
        return failure_of(exc)


def run_case_in_worker(loader: Loader, task: Task, prepared: PreparedTask | None) -> WorkerResult:
    """Make one case in a process that serves a batch run by another one."""
    try:
        segmenter = _WORKER.segmenter(loader)
    except Exception as exc:
        logger.debug("the network could not be loaded", exc_info=True)
        return failure_of(exc)
    return run_case(
        task,
        prepared,
        segmenter=segmenter,
        network_lock=_WORKER.network_lock,
        progress=_ignore_progress,
    )


def load_worker(loader: Loader) -> None:
    """Load the network in a process that serves, before its first case.

    Raises:
        UnetMedError: It cannot be loaded.
    """
    _WORKER.segmenter(loader)


def _case_result(
    task: Task,
    prepared: PreparedTask,
    case_report: CaseReport,
    *,
    partial: Path,
    maps: Mapping[str, Path],
    waited_s: float,
) -> CaseResult:
    """Describe a mask that was written and is not under its name yet."""
    case = task.case
    mask_sha256 = sha256_file(partial)
    content_of_maps = maps_content(task.mask, maps)
    seconds = {"digest": prepared.seconds, **case_report.seconds}
    seconds["total"] += prepared.seconds
    seconds["network"] -= waited_s  # another case had it
    provenance = CaseProvenance(
        inputs=tuple(
            {"path": str(path), "sha256": sha256}
            for path, sha256 in zip(case.paths, prepared.inputs.sha256, strict=True)
        ),
        channel=case.channel,
        bundle=task.context.bundle,
        execution=task.context.execution.as_dict(),
        command_line=task.context.command_line,
        fingerprint=prepared.fingerprint,
    )
    file = MaskFile(task.mask.name, mask_sha256, seconds)
    return CaseResult(
        prepared,
        partial,
        maps,
        mask_sha256,
        sidecar_content(case_report, mask=file, provenance=provenance) | content_of_maps,
        seconds,
        case_report.volumes_ml,
        case_report.warnings,
        platform.node(),
        instruction_sets(),
    )


class _WorkerState:
    """What a serving process keeps from case to case: the network last asked for."""

    def __init__(self) -> None:
        self.network_lock = NetworkLock()
        self._lock = threading.Lock()
        self._loaded: tuple[Hashable, Segmenter] | None = None

    def segmenter(self, loader: Loader) -> Segmenter:
        with self._lock:
            if self._loaded is None or self._loaded[0] != loader.key:
                self._loaded = None  # the old one goes before the new one comes
                self._loaded = (loader.key, loader.load_in_worker())
            return self._loaded[1]


_WORKER = _WorkerState()


def _ignore_progress(_done: int, _total: int) -> None:
    pass


def commit(task: Task, result: CaseResult, *, output: str, ledger: Ledger) -> Outcome:
    """Give a mask its name, write its sidecar and the ledger, in the order `ledger` explains.

    Args:
        task: The case.
        result: Its mask.
        output: The ledger's key of the mask.
        ledger: Written by this process alone.

    Returns:
        The case, done.

    Raises:
        OutputError: Something could not be written, or the mask was changed meanwhile.
    """
    entry = LedgerEntry(
        task.case.key,
        output,
        Status.WRITING,
        fingerprint=result.prepared.fingerprint,
        mask_sha256=result.mask_sha256,
    )
    try:
        refuse_changed_mask(task, result.prepared)
        ledger.append(entry)
        replace_maps(task.mask, result.maps)  # no older map may lie beside the new mask
        publish(result.partial, task.mask)
    finally:
        for partial in (result.partial, *result.maps.values()):
            with suppress(OSError):
                partial.unlink()
    write_sidecar(sidecar_path(task.mask), result.sidecar)
    rounded = {stage: round(value, 4) for stage, value in result.seconds.items()}
    done = entry.with_status(Status.DONE, seconds=rounded, host=result.host, cpu=result.cpu)
    ledger.append(done)
    return Outcome(
        task.case,
        Status.DONE,
        task.mask,
        seconds=dict(result.seconds),
        volumes_ml=result.volumes_ml,
        warnings=result.warnings,
    )
