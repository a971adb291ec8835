"""Draw training batches from synthetic scans: the trainer's `BatchSource` for heads."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from sample_data.synthesis.head_tissues import folded_sources
from sample_data.synthesis.random_parameters import Rng, SynthesisSettings
from sample_data.synthesis.scan import sample_scan
from sample_data.synthesis.slices import InputFormat, render_slices, sample_slice_indices
from sample_data.synthesis.source import SynthesisSource, build_source
from unet_med.errors import InputError
from unet_med.geometry import grid_difference, slice_layout
from unet_med.training.distributed import rank, world_size
from unet_med.volumes import open_volume

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unet_med.recipe import Recipe
    from unet_med.training.data.batch_source import Batch, BatchIndex
    from unet_med.training.plan import TrainingCase, TrainingPlan

SEED_STRIDE = 1_000_003
"""Keeps the random numbers of seeds, steps and scans apart."""


N_TISSUE_LABELS = 3


class ScanSynthesizer:
    """Draws slices of random scans; a scan depends on the seed, its step and its number only."""

    def __init__(  # noqa: PLR0913 - one argument per setting
        self,
        data: Sequence[dict[str, str]],
        read: Callable[[dict[str, str]], SynthesisSource],
        *,
        recipe: Recipe,
        settings: SynthesisSettings,
        slices_per_scan: int = 4,
        folded_sources_per_case: int = 4,
        seed: int = 0,
    ) -> None:
        """Prepare nothing yet: the cases are read when the first scan is asked for.

        Args:
            data: One dictionary a case.
            read: Reads a case.
            recipe: Context, in-plane spacing and normalization of the network's input.
            settings: How strongly scans are varied.
            slices_per_scan: Slices per scan.
            folded_sources_per_case: Versions of every case with random folds; needs labels 1 to 3.
            seed: Start of the random numbers.
        """
        self.data = list(data)
        self.read = read
        self.format = InputFormat(
            context=recipe.context,
            in_plane_mm=recipe.in_plane_spacing_mm or 1.0,
            normalization=recipe.channels[0].normalization,
        )
        self.settings = settings
        self.slices_per_scan = slices_per_scan
        self.folded_sources_per_case = folded_sources_per_case if settings.cortical_folds > 0 else 0
        self.seed = seed

    @cached_property
    def sources(self) -> list[list[SynthesisSource]]:
        """Every case as it is, followed by its folded versions."""
        return [self._versions(case, number) for number, case in enumerate(self.data)]

    def synthesize(self, step: int, number: int) -> list[dict[str, Any]]:
        """Return the slices of one scan of a step, see `render_slices`."""
        rng = self._rng(step * SEED_STRIDE + number + 1)
        versions = self.sources[rng.integer(len(self.sources))]
        folded = len(versions) > 1 and rng.chance(self.settings.cortical_folds)
        source = versions[1 + rng.integer(len(versions) - 1)] if folded else versions[0]
        scan = sample_scan(source, self.settings, rng)
        indices = sample_slice_indices(scan, self.slices_per_scan, rng)
        return render_slices(scan, self.format, self.settings, indices=indices, rng=rng)

    def _rng(self, number: int) -> Rng:
        return Rng(torch.Generator().manual_seed(self.seed * SEED_STRIDE**2 + number))

    def _versions(self, case: dict[str, str], number: int) -> list[SynthesisSource]:
        """Read a case and fold it ``folded_sources_per_case`` times."""
        source = self.read(case)
        folds = self.folded_sources_per_case if source.n_labels == N_TISSUE_LABELS else 0
        return [source, *folded_sources(source, folds, self._rng(-(number + 1)))]


SLICES_PER_SCAN = 4


class SyntheticBatches(Dataset["Batch"]):
    """Draw slices of random scans of the training cases; a batch depends on seed and step only.

    Args:
        root: Folder that the plan's relative paths are meant from.
        recipe: One channel, labels 1 to K.
        plan: Cases, batch, patch, mirroring and seed.
        settings: How strongly scans are varied; ``None`` = fully, with the plan's patch.
        rank, world_size: Which share of how many.

    Raises:
        InputError: The recipe or the batch does not fit.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        recipe: Recipe,
        plan: TrainingPlan,
        settings: SynthesisSettings | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        _check(recipe, plan, world_size)
        per_scan = min(SLICES_PER_SCAN, plan.batch_size)  # the same however many processes share
        n_scans = plan.batch_size // per_scan
        self.scans = range(rank * n_scans // world_size, (rank + 1) * n_scans // world_size)
        self.data = [dict_of(case, Path(root)) for case in plan.training_cases]
        if settings is None:
            side = None if plan.patch_size is None else max(plan.patch_size)
            settings = SynthesisSettings(
                patch_size=side, mirror=0.5 if "left-right" in plan.mirror_axes else 0.0
            )
        self.synthesizer = ScanSynthesizer(
            self.data,
            read_source,
            recipe=recipe,
            settings=settings,
            slices_per_scan=per_scan,
            seed=plan.seed,
        )

    def __len__(self) -> int:
        """How many slices the cases have."""
        return sum(source.index.shape[2] for source, *_ in self.synthesizer.sources)

    @property
    def slice_shape(self) -> tuple[int, int]:
        """Return the most rows and the most columns of any case's axial slices."""
        sides = [source.index.shape for source, *_ in self.synthesizer.sources]
        return max(side[1] for side in sides), max(side[0] for side in sides)

    def __getitem__(self, index: BatchIndex) -> Batch:
        """Return ``image`` (b, context, H, W) float32 and ``label`` codes (b, H, W) uint8."""
        slices = [
            item for scan in self.scans for item in self.synthesizer.synthesize(index.step, scan)
        ]
        images = torch.stack([item["image"] for item in slices])
        labels = torch.stack([item["label"][0] for item in slices])
        return {"image": images.contiguous(memory_format=torch.channels_last), "label": labels}


def build_batches(
    plan: TrainingPlan,
    recipe: Recipe,
    *,
    root: Path | str,
    settings: SynthesisSettings | None = None,
    **_unused: object,
) -> SyntheticBatches:
    """Return this process's batches: stands in train.yaml for `unet_med.training.build_batches`."""
    return SyntheticBatches(
        root, recipe=recipe, plan=plan, settings=settings, rank=rank(), world_size=world_size()
    )


def dict_of(case: TrainingCase, root: Path) -> dict[str, str]:
    """Return the paths of a case with one channel."""
    return {"image": str(root / case.images[0]), "label": str(root / case.label)}


def read_source(case: dict[str, str]) -> SynthesisSource:
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


def _check(recipe: Recipe, plan: TrainingPlan, world_size: int) -> None:
    if len(recipe.channels) != 1 or list(recipe.labels) != [*range(1, len(recipe.labels) + 1)]:
        msg = (
            "synthetic heads need one channel and labels 1 to K without gaps, got "
            f"{len(recipe.channels)} channels and labels {list(recipe.labels)}"
        )
        raise InputError(msg)
    if plan.patch_size is not None and plan.patch_size[0] != plan.patch_size[1]:
        msg = f"synthetic heads need a square patch, got {list(plan.patch_size)}"
        raise InputError(msg)
    per_scan = min(SLICES_PER_SCAN, plan.batch_size)
    if plan.batch_size % (per_scan * world_size):
        msg = (
            f"a batch of {plan.batch_size} does not divide into scans of {per_scan} slices for "
            f"{world_size} processes: use a multiple of {per_scan * world_size}"
        )
        raise InputError(msg)
