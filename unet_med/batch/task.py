"""What is to be done for one case, as data that any process can take."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unet_med._version import __version__
from unet_med.batch.destination import sidecar_path
from unet_med.batch.resume import (
    ResumeDecision,
    ResumePolicy,
    case_fingerprint,
    decide_resume,
)
from unet_med.batch.sidecar import has_maps, refuse_foreign_maps, refuse_foreign_sidecar
from unet_med.errors import InputError, OutputError
from unet_med.volumes import InputFiles, ReadOptions, open_volume

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from unet_med.backends import Execution
    from unet_med.batch.ledger import OutputHistory
    from unet_med.cases import Case

_THREADS_MATTER = frozenset({"torch"})
"""Backends whose logits differ in the last bits with the number of threads."""

FileState = tuple[int, int, int]
"""Size, time of change in ns, and inode of a file."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the cases of one run share.

    Attributes:
        bundle: Name, version, folder and SHA-256 of the bundle.
        execution: How the network is run, resolved once for all processes.
        policy: What the user allows.
        rules: How scans are read.
        save_maps: Maps wanted beside every mask.
        command_line: For the sidecars.
    """

    bundle: Mapping[str, str]
    execution: Execution
    policy: ResumePolicy = field(default_factory=ResumePolicy)
    rules: ReadOptions = field(default_factory=ReadOptions)
    save_maps: tuple[str, ...] = ()
    command_line: str = ""

    def voxel_settings(self, channel: int | None) -> dict[str, Any]:
        """Return the settings that determine voxels; where and how many run at once do not."""
        execution = self.execution
        threads = execution.threads if execution.backend in _THREADS_MATTER else None
        wanted = self.rules.series.query
        return {
            **({} if wanted is None else {"series": wanted}),
            "backend": execution.backend,
            "precision": execution.precision,
            "model": execution.model_sha256,
            "device": execution.device,
            "threads": threads,
            "channel": channel,
        }


@dataclass(frozen=True, slots=True)
class Task:
    """One case to make.

    Attributes:
        case: The case.
        mask: Where its mask goes.
        history: What the ledger knows of the mask.
        context: What all cases share.
    """

    case: Case
    mask: Path
    history: OutputHistory
    context: RunContext


@dataclass(frozen=True, slots=True)
class PreparedTask:
    """A case whose inputs were read once, and what is to be done with it.

    Attributes:
        decision: Whether it needs work.
        inputs: The scan files, digested.
        fingerprint: SHA-256 of everything that determines the voxels.
        mask: The state of the mask's files at the decision, if there were any.
        seconds: What reading them took.
    """

    decision: ResumeDecision
    inputs: InputFiles
    fingerprint: str
    mask: tuple[FileState, ...] = ()
    seconds: float = field(default=0.0, compare=False)


def prepare(task: Task) -> PreparedTask:
    """Digest the inputs of a case and decide whether it needs work.

    Raises:
        InputError: The case has a problem, or an input cannot be read.
        OutputError: A file stands where the mask goes that may not be replaced.
    """
    case, context = task.case, task.context
    if case.problem is not None:
        raise InputError(case.problem)
    start = time.perf_counter()
    mask = tuple(file_states(task.mask))
    inputs = InputFiles.digest(case.paths)
    fingerprint = case_fingerprint(
        inputs.sha256,
        bundle_sha256=context.bundle["sha256"],
        settings=context.voxel_settings(case.channel),
        version=__version__,
    )
    decision = decide_resume(
        task.mask, fingerprint=fingerprint, history=task.history, policy=context.policy
    )
    if decision is ResumeDecision.SKIP and not has_maps(task.mask, context.save_maps):
        decision = ResumeDecision.RUN
    if decision is ResumeDecision.RUN:
        _check_writable_and_readable(task)
    return PreparedTask(decision, inputs, fingerprint, mask, time.perf_counter() - start)


def _check_writable_and_readable(task: Task) -> None:
    """Find what speaks against making a case before it begins; headers may claim absurd sizes."""
    rules = task.context.rules
    for path in task.case.paths:
        open_volume(path, channel=task.case.channel, limits=rules.limits, series=rules.series)
    if not task.context.policy.overwrite:
        refuse_foreign_sidecar(sidecar_path(task.mask))
        refuse_foreign_maps(task.mask, task.context.save_maps)


def refuse_changed_mask(task: Task, prepared: PreparedTask) -> None:
    """Leave a mask alone that somebody changed while its successor was made.

    Raises:
        OutputError: It was changed, and nobody asked to overwrite.
    """
    if not task.context.policy.overwrite and tuple(file_states(task.mask)) != prepared.mask:
        msg = f"{task.mask} was changed meanwhile: move it away, or replace it with --overwrite"
        raise OutputError(msg)


def file_states(path: Path) -> list[FileState]:
    """Return the state of a file, or of all files in a folder by name; none if it is missing."""
    try:
        inside = [item for item in path.rglob("*") if item.is_file()] if path.is_dir() else [path]
        return [_file_state(item.stat()) for item in sorted(inside)]
    except OSError:
        return []


def _file_state(state: os.stat_result) -> FileState:
    return state.st_size, state.st_mtime_ns, state.st_ino
