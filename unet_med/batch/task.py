"""What is to be done for one case, as data that any process can take."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unet_med import __version__
from unet_med.batch.destination import sidecar_path
from unet_med.batch.maps import has_maps, refuse_foreign_maps
from unet_med.batch.resume import (
    Policy,
    Verdict,
    fingerprint,
    judge,
)
from unet_med.batch.sidecar import refuse_foreign_sidecar
from unet_med.errors import InputError, OutputError
from unet_med.volumes import InputFiles, ReadRules, open_volume

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from unet_med.backends import Execution
    from unet_med.batch.ledger import History
    from unet_med.cases import Case

_THREADS_MATTER = frozenset({"torch"})
"""Backends whose logits differ in the last bits with the number of threads."""

Stamp = tuple[int, int, int]
"""Size, time of change in ns, and inode of a file."""


@dataclass(frozen=True, slots=True)
class Common:
    """What the cases of one run share.

    Attributes:
        bundle: Name, version, folder and SHA-256 of the bundle.
        execution: How the network is run, resolved once for all processes.
        policy: What the user allows.
        rules: How scans are read.
        save: Maps wanted beside every mask.
        command_line: For the sidecars.
    """

    bundle: Mapping[str, str]
    execution: Execution
    policy: Policy = field(default_factory=Policy)
    rules: ReadRules = field(default_factory=ReadRules)
    save: tuple[str, ...] = ()
    command_line: str = ""

    def voxel_settings(self, channel: int | None) -> dict[str, Any]:
        """Return the settings that determine voxels; where and how many run at once do not."""
        execution = self.execution
        threads = execution.threads if execution.backend in _THREADS_MATTER else None
        wanted = self.rules.series.wanted
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
        common: What all cases share.
    """

    case: Case
    mask: Path
    history: History
    common: Common


@dataclass(frozen=True, slots=True)
class Work:
    """A case whose inputs were read once, and what is to be done with it.

    Attributes:
        verdict: Whether it needs work.
        inputs: The scan files, digested.
        fingerprint: SHA-256 of everything that determines the voxels.
        mask: The state of the mask that was judged, if there was one.
        seconds: What reading them took.
    """

    verdict: Verdict
    inputs: InputFiles
    fingerprint: str
    mask: tuple[Stamp, ...] = ()
    seconds: float = field(default=0.0, compare=False)


def examine(task: Task) -> Work:
    """Digest the inputs of a case and decide whether it needs work.

    Raises:
        InputError: The case has a problem, or an input cannot be read.
        OutputError: A file stands where the mask goes that may not be replaced.
    """
    case, common = task.case, task.common
    if case.problem is not None:
        raise InputError(case.problem)
    start = time.perf_counter()
    mask = tuple(file_stamps(task.mask))
    inputs = InputFiles.digest(case.paths)
    work = fingerprint(
        inputs.sha256,
        bundle_sha256=common.bundle["sha256"],
        settings=common.voxel_settings(case.channel),
        version=__version__,
    )
    verdict = judge(task.mask, work=work, history=task.history, policy=common.policy)
    if verdict is Verdict.SKIP and not has_maps(task.mask, common.save):
        verdict = Verdict.RUN
    if verdict is Verdict.RUN:
        _check_writable_and_readable(task)
    return Work(verdict, inputs, work, mask, time.perf_counter() - start)


def _check_writable_and_readable(task: Task) -> None:
    """Find what speaks against making a case before it begins; headers may claim absurd sizes."""
    rules = task.common.rules
    for path in task.case.paths:
        open_volume(path, channel=task.case.channel, limits=rules.limits, series=rules.series)
    if not task.common.policy.overwrite:
        refuse_foreign_sidecar(sidecar_path(task.mask))
        refuse_foreign_maps(task.mask, task.common.save)


def refuse_changed_mask(task: Task, work: Work) -> None:
    """Leave a mask alone that somebody changed while its successor was made.

    Raises:
        OutputError: It was changed, and nobody asked to overwrite.
    """
    if not task.common.policy.overwrite and tuple(file_stamps(task.mask)) != work.mask:
        msg = f"{task.mask} was changed meanwhile: move it away, or replace it with --overwrite"
        raise OutputError(msg)


def file_stamps(path: Path) -> list[Stamp]:
    """Return the state of a file, or of all files in a folder by name; none if it is missing."""
    try:
        inside = [item for item in path.rglob("*") if item.is_file()] if path.is_dir() else [path]
        return [_stamp(item.stat()) for item in sorted(inside)]
    except OSError:
        return []


def _stamp(state: os.stat_result) -> Stamp:
    return state.st_size, state.st_mtime_ns, state.st_ino
