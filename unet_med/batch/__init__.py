"""Segment many cases, remember how each ended, and go on where a run stopped."""

from __future__ import annotations

from unet_med.batch.destination import Destination, sidecar_path
from unet_med.batch.dry_run import dry_run_batch
from unet_med.batch.executors import CaseExecutor, ProcessExecutor, dask_executor, process_executor
from unet_med.batch.ledger import LEDGER_NAME, Status
from unet_med.batch.report import BatchReport, Listener, NullListener, Outcome
from unet_med.batch.resume import ResumePolicy
from unet_med.batch.runner import run_batch, split_frames
from unet_med.batch.settings import BatchSettings
from unet_med.batch.sidecar import read_sidecar
from unet_med.batch.watch import watch_batch
from unet_med.cases.case import Case, CaseList
from unet_med.cases.find import find_cases

__all__ = [
    "LEDGER_NAME",
    "BatchReport",
    "BatchSettings",
    "Case",
    "CaseExecutor",
    "CaseList",
    "Destination",
    "Listener",
    "NullListener",
    "Outcome",
    "ProcessExecutor",
    "ResumePolicy",
    "Status",
    "dask_executor",
    "dry_run_batch",
    "find_cases",
    "process_executor",
    "read_sidecar",
    "run_batch",
    "sidecar_path",
    "split_frames",
    "watch_batch",
]
