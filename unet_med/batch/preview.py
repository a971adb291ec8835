"""What a batch would do and why, without doing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unet_med import __version__
from unet_med.batch.destination import check_destination, sidecar_path
from unet_med.batch.failures import KILLED, Reason, failure_of
from unet_med.batch.ledger import LEDGER_NAME, History, Status, read_ledger
from unet_med.batch.report import BatchReport, Outcome
from unet_med.batch.resume import Verdict
from unet_med.batch.runner import choose_frames, common_of
from unet_med.batch.sidecar import read_sidecar
from unet_med.batch.task import Task, Work, examine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unet_med.batch.destination import Destination
    from unet_med.batch.runner import Network
    from unet_med.batch.settings import BatchSettings
    from unet_med.cases.case import CaseList


def preview_batch(
    cases: CaseList, destination: Destination, *, segmenter: Network, settings: BatchSettings
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
    """
    todo = choose_frames(cases.cases, segmenter=segmenter, settings=settings)
    check_destination(destination, todo, maps=settings.save)
    ledger = read_ledger(destination.folder)
    common = common_of(segmenter, settings)
    settings.listener.batch_started(len(todo), rule=cases.rule, execution=segmenter.execution)
    outcomes: list[Outcome] = []
    pending = 0
    for case in todo:
        if settings.limit is not None and pending >= settings.limit:
            break
        history = ledger.history(destination.ledger_key(case))
        outcome = _look(Task(case, destination.mask_path(case), history, common))
        pending += outcome.status is Status.PENDING
        outcomes.append(outcome)
        settings.listener.case_ended(outcome)
    return BatchReport(
        tuple(outcomes),
        destination.folder / LEDGER_NAME,
        cases.rule,
        segmenter.execution,
        left=len(todo) - len(outcomes),
    )


def _look(task: Task) -> Outcome:
    """Decide about one case."""
    try:
        work = examine(task)
    except Exception as exc:  # noqa: BLE001 - as in a run, a bad file concerns its case alone
        failure = failure_of(exc)
        return Outcome(
            task.case, Status.FAILED, task.mask, error=failure.error, reason=str(failure.reason)
        )
    if work.verdict is Verdict.SKIP:
        return Outcome(task.case, Status.SKIPPED, task.mask, why="up to date")
    if work.verdict is Verdict.KILLS:
        return Outcome(task.case, Status.FAILED, task.mask, error=KILLED, reason=str(Reason.KILLED))
    return Outcome(task.case, Status.PENDING, task.mask, why=_why(task, work))


def _why(task: Task, work: Work) -> str:
    """Say why a case needs work."""
    done = task.history.done
    if done is None:
        return "new" if task.history == History() else "was not finished"
    if done.fingerprint == work.fingerprint:
        return _why_again(task)
    before = read_sidecar(sidecar_path(task.mask))
    if before.get("fingerprint") != done.fingerprint:
        return "it was made from something else"  # and the account of that is gone
    changed = [name for name, same in _comparison(task, work, before) if not same]
    return f"changed: {', '.join(changed) or 'what is made of it'}"


def _why_again(task: Task) -> str:
    """Say why a case needs work though nothing changed that determines its voxels."""
    if not task.mask.exists():
        return "its mask is gone"
    overwrite = task.common.policy.overwrite
    return "asked for by --overwrite" if overwrite else "maps are to be saved"


def _comparison(task: Task, work: Work, before: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """Return whether each thing that determines voxels is what a sidecar says it was."""
    inputs = tuple(item.get("sha256") for item in before.get("inputs", ()))
    execution, now = before.get("execution", {}), task.common.execution.as_dict()
    voxels = task.common.voxel_settings(None)
    same_options = all(
        execution.get(name) == value
        for name, value in now.items()
        if name in {"backend", "precision", "device", "model_sha256"}
        or (name == "threads" and voxels["threads"] is not None)
    )
    return [
        ("the scan", inputs == work.inputs.sha256),
        ("the bundle", before.get("bundle", {}).get("sha256") == task.common.bundle["sha256"]),
        ("options", same_options and before.get("channel") == task.case.channel),
        ("the version", before.get("program", {}).get("version") == __version__),
    ]
