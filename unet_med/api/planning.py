"""A labeled data set checked, and a training planned for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unet_med.api.options import AnyPath
    from unet_med.dataset.check import Progress as ReadingProgress
    from unet_med.planning import Planned, PlanSettings, Source
    from unet_med.planning.network import Shape


def plan(
    images: AnyPath | None = None,
    labels: AnyPath | None = None,
    *,
    source: Source | None = None,
    settings: PlanSettings | None = None,
    output: AnyPath | None = None,
    progress: ReadingProgress | None = None,
) -> Planned:
    """Check a labeled data set and plan its training; as ``unet-med plan``.

    Args:
        images: Folder of scans, or an nnU-Net, Decathlon or BIDS data set.
        labels: Folder of label maps; None = in the same folder.
        source: Instead of the two: lists, names, regions, what to ignore.
        settings: Budget and wishes.
        output: Bundle folder, or ``.json`` file, to write the plan to, if there is one.
        progress: Follows the reading of cases.

    Returns:
        ``checked`` with all findings, ``recipe`` and ``plan``; these are None, and
        ``exit_code`` 2, when there are errors.

    Raises:
        InputError: Nothing is found, or a list cannot be used.
        RecipeError: A file of changes does not fit.
        OutputError: The plan cannot be written.
    """
    from unet_med.planning import PlanSettings, Source, plan_training

    where = source or Source(
        images=None if images is None else Path(images),
        labels=None if labels is None else Path(labels),
    )
    planned = plan_training(where, settings or PlanSettings(), probe=_probe, progress=progress)
    if output is not None and planned.plan is not None:
        planned.save(Path(output))
    return planned


def _probe(shape: Shape) -> float:
    """Measure a training step; torch is loaded only now, when the data are known to be good."""
    from unet_med.planning.probe import seconds_per_step

    return seconds_per_step(shape)
