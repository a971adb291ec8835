"""Many cases, one after the other: running them, remembering them."""

from __future__ import annotations

from unet_med.batch.cluster import dask_crew
from unet_med.batch.crew import Crew, Elsewhere, processes_crew
from unet_med.batch.destination import Destination, sidecar_path
from unet_med.batch.frames import split_frames
from unet_med.batch.ledger import LEDGER_NAME, Status
from unet_med.batch.preview import preview_batch
from unet_med.batch.report import BatchReport, Listener, Outcome, Silence
from unet_med.batch.resume import Policy
from unet_med.batch.runner import run_batch
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
    "CaseList",
    "Crew",
    "Destination",
    "Elsewhere",
    "Listener",
    "Outcome",
    "Policy",
    "Silence",
    "Status",
    "dask_crew",
    "find_cases",
    "preview_batch",
    "processes_crew",
    "read_sidecar",
    "run_batch",
    "sidecar_path",
    "split_frames",
    "watch_batch",
]
