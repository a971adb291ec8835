"""Say what a batch would do and why, without doing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unet_med._version import __version__
from unet_med.batch.destination import check_destination, sidecar_path
from unet_med.batch.ledger import LEDGER_NAME, OutputHistory, Status, read_ledger
from unet_med.batch.report import KILLED, BatchReport, FailureReason, Outcome, failure_of
from unet_med.batch.resume import ResumeDecision
from unet_med.batch.runner import run_context, select_frames
from unet_med.batch.sidecar import read_sidecar
from unet_med.batch.task import PreparedTask, Task, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unet_med.batch.destination import Destination
    from unet_med.batch.runner import AnySegmenter
    from unet_med.batch.settings import BatchSettings
    from unet_med.cases.case import CaseList


def dry_run_batch(
    cases: CaseList, destination: Destination, *, segmenter: AnySegmenter, settings: BatchSettings
) -> BatchReport:
    """Say for each case what ``run_batch`` would do; nothing is written and no network runs.

    Scans and masks are read, since a case is known by their content. What only shows while a
    case is made, such as a damaged stream of voxels, is not seen.

    Args:
        cases: From ``find_cases``.
        destination: Where masks would go.
        segmenter: The network that would run; it need not be loaded.
        settings: What the user asks.

    Returns:
        Outcomes that are ``pending``, ``skipped`` or ``failed``, each with its reason.

    Raises:
        InputError: The destination or the settings cannot be right for these cases.
        OutputError: The ledger cannot be read.

    Example:
        >>> from pathlib import Path, PurePosixPath
        >>> from unet_med.batch import BatchSettings, Destination
        >>> from unet_med.cases import Case, CaseList
        >>> from unet_med.segmenter import resolve_segmenter
        >>> lost = Case("knee", PurePosixPath(), (Path("knee.nii"),), problem="the file is gone")
        >>> report = dry_run_batch(
        ...     CaseList((lost,), "one per file"),
        ...     Destination(Path("masks")),
        ...     segmenter=resolve_segmenter(),
        ...     settings=BatchSettings(),
        ... )
        >>> report.reasons()
        {'input cannot be used': 1}
    """
    todo = select_frames(cases.cases, segmenter=segmenter, settings=settings)
    check_destination(destination, todo, maps=settings.save_maps)
    ledger = read_ledger(destination.folder)
    context = run_context(segmenter, settings)
    settings.listener.batch_started(len(todo), rule=cases.rule, execution=segmenter.execution)
    outcomes: list[Outcome] = []
    pending = 0
    for case in todo:
        if settings.limit is not None and pending >= settings.limit:
            break
        history = ledger.history(destination.ledger_key(case))
        outcome = _decide(Task(case, destination.mask_path(case), history, context))
        pending += outcome.status is Status.PENDING
        outcomes.append(outcome)
        settings.listener.case_ended(outcome)
    return BatchReport(
        tuple(outcomes),
        destination.folder / LEDGER_NAME,
        cases.rule,
        segmenter.execution,
        remaining=len(todo) - len(outcomes),
    )


def _decide(task: Task) -> Outcome:
    """Decide about one case."""
    try:
        prepared = prepare(task)
    except Exception as exc:  # noqa: BLE001 - as in a run, a bad file concerns its case alone
        failure = failure_of(exc)
        return Outcome(
            task.case, Status.FAILED, task.mask, error=failure.error, reason=str(failure.reason)
        )
    if prepared.decision is ResumeDecision.SKIP:
        return Outcome(task.case, Status.SKIPPED, task.mask, detail="up to date")
    if prepared.decision is ResumeDecision.KILLED:
        return Outcome(
            task.case, Status.FAILED, task.mask, error=KILLED, reason=str(FailureReason.KILLED)
        )
    return Outcome(task.case, Status.PENDING, task.mask, detail=_detail(task, prepared))


def _detail(task: Task, prepared: PreparedTask) -> str:
    """Say why a case needs work."""
    done = task.history.done
    if done is None:
        return "new" if task.history == OutputHistory() else "was not finished"
    if done.fingerprint == prepared.fingerprint:
        return _detail_of_rerun(task)
    before = read_sidecar(sidecar_path(task.mask))
    if before.get("fingerprint") != done.fingerprint:
        return "it was made from something else"  # and the account of that is gone
    changed = [name for name, same in _comparison(task, prepared, before) if not same]
    return f"changed: {', '.join(changed) or 'what is made of it'}"


def _detail_of_rerun(task: Task) -> str:
    """Say why a case needs work though nothing changed that determines its voxels."""
    if not task.mask.exists():
        return "its mask is gone"
    overwrite = task.context.policy.overwrite
    return "asked for by --overwrite" if overwrite else "maps are to be saved"


def _comparison(
    task: Task, prepared: PreparedTask, before: Mapping[str, Any]
) -> list[tuple[str, bool]]:
    """Return whether each thing that determines voxels is what a sidecar says it was."""
    inputs = tuple(item.get("sha256") for item in before.get("inputs", ()))
    execution, now = before.get("execution", {}), task.context.execution.as_dict()
    voxels = task.context.voxel_settings(None)
    same_options = all(
        execution.get(name) == value
        for name, value in now.items()
        if name in {"backend", "precision", "device", "model_sha256"}
        or (name == "threads" and voxels["threads"] is not None)
    )
    return [
        ("the scan", inputs == prepared.inputs.sha256),
        ("the bundle", before.get("bundle", {}).get("sha256") == task.context.bundle["sha256"]),
        ("options", same_options and before.get("channel") == task.case.channel),
        ("the version", before.get("program", {}).get("version") == __version__),
    ]
