"""The loop over cases, and the one boundary that lets no case stop the others."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from unet_med import __version__
from unet_med._files import atomic_path, sha256_file
from unet_med.batch.destination import (
    Destination,
    check_destination,
    open_folder,
    remove_leftovers,
    sidecar_path,
)
from unet_med.batch.frames import split_frames
from unet_med.batch.ledger import Entry, Ledger, Status, open_ledger
from unet_med.batch.report import BatchReport, Listener, Outcome, Silence
from unet_med.batch.resume import Policy, Verdict, fingerprint, judge
from unet_med.batch.sidecar import (
    MaskFile,
    Provenance,
    refuse_foreign_sidecar,
    sidecar_content,
    write_sidecar,
)
from unet_med.errors import InputError, OutputError, UnetMedError
from unet_med.volumes import InputFiles, open_volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unet_med.cases.case import Case, CaseList
    from unet_med.segmenter import Segmenter

logger = logging.getLogger(__name__)

KILLED = "the case killed the process twice (out of memory?): --retry-failed tries it again"
STOPPED = "stopped by the user"


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """What the user asks of a batch.

    Attributes:
        overwrite: Make every mask again, and replace files that are not ours.
        retry_failed: Try cases again that killed the process before.
        channel: Channel or frame to take of 4D files, for recipes with one channel.
        frames: One mask per frame of 4D files.
        command_line: For the sidecars.
        listener: Follows the run.
    """

    overwrite: bool = False
    retry_failed: bool = False
    channel: int | None = None
    frames: bool = False
    command_line: str = ""
    listener: Listener = field(default_factory=Silence)

    def __post_init__(self) -> None:
        if self.frames and self.channel is not None:
            msg = "frames takes every frame and channel takes one: give only one of them"
            raise InputError(msg)
        if self.channel is not None and self.channel < 0:
            msg = f"channels are counted from 0, got {self.channel}"
            raise InputError(msg)


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything that the cases of one run share."""

    segmenter: Segmenter
    destination: Destination
    ledger: Ledger
    settings: BatchSettings
    bundle: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """One case with its inputs digested."""

    case: Case
    inputs: InputFiles
    fingerprint: str


def run_batch(
    cases: CaseList,
    destination: Destination,
    *,
    segmenter: Segmenter,
    settings: BatchSettings,
) -> BatchReport:
    """Segment cases one after the other; whatever happens to one, the others go on.

    Args:
        cases: From ``find_cases``.
        destination: Where masks go; its folder is made.
        segmenter: Segments one case.
        settings: What the user asks.

    Returns:
        How every case ended.

    Raises:
        InputError: The destination or the settings cannot be right for these cases.
        OutputError: The output folder cannot be written, or another run holds it.
    """
    todo = _choose_frames(cases.cases, n_channels=len(segmenter.recipe.channels), settings=settings)
    check_destination(destination, todo)
    open_folder(destination)
    exclusive = destination.file_name is None  # runs of one file each may share a folder
    with open_ledger(destination.folder, exclusive=exclusive) as ledger:
        removed = remove_leftovers(destination, todo)
        logger.debug("removed %d leftovers of killed runs", removed)
        batch = Batch(segmenter, destination, ledger, settings, segmenter.identity())
        listener = settings.listener
        listener.batch_started(len(todo), rule=cases.rule, execution=segmenter.execution)
        outcomes = []
        for number, case in enumerate(todo, start=1):
            listener.case_started(case, number)
            outcome = _run_case(case, batch)
            outcomes.append(outcome)
            listener.case_ended(outcome)
    return BatchReport(tuple(outcomes), ledger.path, cases.rule, segmenter.execution)


def _choose_frames(
    cases: Sequence[Case], *, n_channels: int, settings: BatchSettings
) -> tuple[Case, ...]:
    """Apply ``channel`` and ``frames``, which recipes with one channel know."""
    if n_channels > 1 and (settings.frames or settings.channel is not None):
        msg = f"channel and frames are for recipes with one channel; this one takes {n_channels}"
        raise InputError(msg)
    if settings.frames:
        return split_frames(cases)
    return tuple(replace(case, channel=settings.channel) for case in cases)


def _run_case(case: Case, batch: Batch) -> Outcome:
    """Run one case; an error of any kind becomes its outcome."""
    try:
        return _segment_case(case, batch)
    except KeyboardInterrupt:
        _record_failure(case, STOPPED, batch=batch)
        raise
    except Exception as exc:  # the one boundary: a bad file must not stop the batch
        logger.debug("%s failed", case.key, exc_info=True)
        error = _one_line(exc)
        _record_failure(case, error, batch=batch)
        return Outcome(case, Status.FAILED, batch.destination.mask_path(case), error=error)


def _segment_case(case: Case, batch: Batch) -> Outcome:
    """Segment one case, or find that there is nothing to do."""
    if case.problem is not None:
        raise InputError(case.problem)
    start = time.perf_counter()
    work = _digest(case, batch)
    digested = time.perf_counter() - start
    mask = batch.destination.mask_path(case)
    output = batch.destination.ledger_key(case)
    history = batch.ledger.history(output)
    policy = Policy(batch.settings.overwrite, batch.settings.retry_failed)
    verdict = judge(mask, work=work.fingerprint, history=history, policy=policy)
    entry = Entry(case.key, output, Status.SKIPPED, fingerprint=work.fingerprint)
    if verdict is Verdict.SKIP:
        batch.ledger.append(entry)
        return Outcome(case, Status.SKIPPED, mask)
    if verdict is Verdict.KILLS:
        killed = entry.turned(Status.FAILED, error=KILLED, killed=True)
        batch.ledger.append(killed)
        return Outcome(case, Status.FAILED, mask, error=KILLED)
    if not policy.overwrite:
        refuse_foreign_sidecar(sidecar_path(mask))
    batch.ledger.append(entry.turned(Status.STARTED))
    return _make(work, batch=batch, digested=digested)


def _make(work: Work, *, batch: Batch, digested: float) -> Outcome:
    """Make mask, sidecar and ledger lines, in the order that ``ledger`` explains."""
    case = work.case
    source = case.paths[0] if len(case.paths) == 1 else list(case.paths)
    mask = batch.destination.mask_path(case)
    entry = Entry(
        case.key, batch.destination.ledger_key(case), Status.WRITING, fingerprint=work.fingerprint
    )
    with atomic_path(mask) as partial:
        facts = batch.segmenter.segment_to(
            source,
            partial,
            channel=case.channel,
            files=work.inputs,
            progress=batch.settings.listener.case_progress,
        )
        digest = sha256_file(partial)
        batch.ledger.append(entry.turned(Status.WRITING, digest=digest))
    seconds = {"digest": digested, **facts.seconds}
    seconds["total"] += digested
    provenance = Provenance(
        inputs=tuple(
            {"path": str(path), "sha256": sha256}
            for path, sha256 in zip(case.paths, work.inputs.sha256, strict=True)
        ),
        channel=case.channel,
        bundle=batch.bundle,
        execution=batch.segmenter.execution.as_dict(),
        command_line=batch.settings.command_line,
        fingerprint=work.fingerprint,
    )
    file = MaskFile(mask.name, digest, seconds)
    content = sidecar_content(facts, mask=file, provenance=provenance)
    write_sidecar(sidecar_path(mask), content)
    rounded = {stage: round(value, 4) for stage, value in seconds.items()}
    batch.ledger.append(entry.turned(Status.DONE, digest=digest, seconds=rounded))
    return Outcome(
        case,
        Status.DONE,
        mask,
        seconds=seconds,
        volumes_ml=facts.volumes_ml,
        warnings=facts.warnings,
    )


def _digest(case: Case, batch: Batch) -> Work:
    """Digest the inputs and everything else that determines the voxels."""
    limits = batch.segmenter.rules.limits
    for path in case.paths:  # before its content is read: it may claim absurd sizes
        open_volume(path, channel=case.channel, limits=limits)
    inputs = InputFiles.digest(case.paths)
    execution = batch.segmenter.execution
    settings = {
        "backend": execution.backend,
        "precision": execution.precision,
        "model": execution.model_sha256,
        "device": execution.device,
        "threads": execution.threads,  # torch's logits differ in the last bits with the threads
        "channel": case.channel,
    }
    sha256 = batch.bundle["sha256"]
    work = fingerprint(inputs.sha256, bundle_sha256=sha256, settings=settings, version=__version__)
    return Work(case, inputs, work)


def _record_failure(case: Case, error: str, *, batch: Batch) -> None:
    """Add the failure to the ledger; if not even that can be written, the report has it."""
    output = batch.destination.ledger_key(case)
    work = batch.ledger.history(output).open_fingerprint
    entry = Entry(case.key, output, Status.FAILED, fingerprint=work, error=error)
    try:
        batch.ledger.append(entry)
    except OutputError as exc:
        logger.warning("%s", exc)


def _one_line(exc: Exception) -> str:
    text = " ".join(str(exc).split())
    if isinstance(exc, UnetMedError):
        return text
    if isinstance(exc, MemoryError):
        return f"not enough memory: {text or 'the scan is too large for this machine'}"
    return f"{type(exc).__name__}: {text} (unexpected; --debug shows where)"
