"""Batches of random slabs of 3D-deformed heads, in the form of `SliceBatches`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

from unet_med.errors import InputError
from unet_med.geometry import grid_difference, slice_layout
from unet_med.training.dataset import SlabDraws
from unet_med.training.settings import SlabSettings
from unet_med.training.source import Source, build_source
from unet_med.volumes import open_volume

if TYPE_CHECKING:
    from unet_med.recipe import Recipe
    from unet_med.training.batches import Batch
    from unet_med.training.plan import TrainingCase, TrainingPlan

logger = logging.getLogger(__name__)

SLABS_PER_SCAN = 4


class SlabBatches(Dataset["Batch"]):
    """Slabs of random scans of the training cases; item ``step`` is the batch of that step.

    Args:
        root: Folder that the plan's relative paths are meant from.
        recipe: One channel, labels 1 to K.
        plan: Cases, batch, crop, mirroring and seed.
        settings: How strongly scans are varied; ``None`` = fully, with the plan's crop.
        rank, world: Which share of how many.

    Raises:
        InputError: The recipe or the batch does not fit.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        recipe: Recipe,
        plan: TrainingPlan,
        settings: SlabSettings | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        _check(recipe, plan, world)
        per_scan = min(SLABS_PER_SCAN, plan.batch)  # the same however many processes share
        n_scans = plan.batch // per_scan
        self.scans = range(rank * n_scans // world, (rank + 1) * n_scans // world)
        self.data = [dict_of(case, Path(root)) for case in plan.training_cases]
        if settings is None:
            side = None if plan.crop is None else max(plan.crop)
            settings = SlabSettings(crop=side, mirror=0.5 if "left-right" in plan.mirror else 0.0)
        self.draws = SlabDraws(
            self.data,
            read_source,
            recipe=recipe,
            settings=settings,
            slices_per_scan=per_scan,
            seed=plan.seed,
        )

    def __len__(self) -> int:
        """How many slices the cases have."""
        return sum(source.index.shape[2] for source, *_ in self.draws.sources)

    def __getitem__(self, step: int) -> Batch:
        """Return ``image`` (b, context, H, W) float32 and ``label`` codes (b, H, W) uint8."""
        slabs = [slab for scan in self.scans for slab in self.draws.scan(step, scan)]
        images = torch.stack([slab["image"] for slab in slabs])
        labels = torch.stack([slab["label"][0] for slab in slabs])
        return {"image": images.contiguous(memory_format=torch.channels_last), "label": labels}


def dict_of(case: TrainingCase, root: Path) -> dict[str, str]:
    """Return the paths of a case with one channel."""
    return {"image": str(root / case.images[0]), "label": str(root / case.label)}


def read_source(case: dict[str, str]) -> Source:
    """Read a scan and its labels in RAS+ order.

    Raises:
        InputError, VolumeError, GeometryError: They cannot be read or do not fit together.
    """
    scan, label = open_volume(case["image"]), open_volume(case["label"])
    if difference := grid_difference(label.geometry, scan.geometry):
        msg = f"{label.name} is not on the grid of {scan.name}: {difference}; resample it first"
        raise InputError(msg)
    layout = slice_layout(scan.geometry, "axial")
    slice_mm, row_mm, column_mm = layout.spacing(scan.geometry)
    image, labels = (
        # (z, y, x) → (x, y, z)
        np.ascontiguousarray(layout.to_slices(v.read(0, v.geometry.shape[2], axis=2)[0]).T)
        for v in (scan, label)
    )
    return build_source(image, labels, (column_mm, row_mm, slice_mm))


def _check(recipe: Recipe, plan: TrainingPlan, world: int) -> None:
    if len(recipe.channels) != 1 or list(recipe.labels) != [*range(1, len(recipe.labels) + 1)]:
        msg = (
            "augmentation slabs needs one channel and labels 1 to K without gaps, got "
            f"{len(recipe.channels)} channels and labels {list(recipe.labels)}: use slices"
        )
        raise InputError(msg)
    if plan.crop is not None and plan.crop[0] != plan.crop[1]:
        msg = f"augmentation slabs needs a square crop, got {list(plan.crop)}"
        raise InputError(msg)
    per_scan = min(SLABS_PER_SCAN, plan.batch)
    if plan.batch % (per_scan * world):
        msg = (
            f"a batch of {plan.batch} does not divide into scans of {per_scan} slabs for {world} "
            f"processes: use a multiple of {per_scan * world}"
        )
        raise InputError(msg)
