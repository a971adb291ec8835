"""Training batches: item ``step`` is the whole batch of that step, or this process's share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from unet_med.errors import InputError
from unet_med.training.augmentation import AugmentationSettings, CropFormat, augment
from unet_med.training.drawing import PlaceDrawer, cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unet_med.recipe import Recipe
    from unet_med.training.cache import CachedCase
    from unet_med.training.plan import TrainingPlan

Batch = dict[str, torch.Tensor]

IN_PLANE = {  # rows and columns of the slices, as `SliceLayout` has them
    "axial": ("anterior-posterior", "left-right"),
    "coronal": ("inferior-superior", "left-right"),
    "sagittal": ("inferior-superior", "anterior-posterior"),
}


class StepSampler(Sampler[int]):
    """Hands out the global steps of one round after another.

    A step in which the cases held out are trained on, too, is handed out as ``-1 - step``.
    """

    def __init__(self, steps_per_round: int, *, last_apart: int | None = None) -> None:
        """Start at round 0.

        Args:
            steps_per_round: Steps.
            last_apart: Last round, counted from 1, without the cases held out; ``None`` = all.
        """
        self.steps_per_round = steps_per_round
        self.last_apart = last_apart
        self.round = 0

    def set_epoch(self, epoch: int) -> None:
        """Go to a round, counted from 0."""
        self.round = epoch

    def __len__(self) -> int:
        return self.steps_per_round

    def __iter__(self) -> Iterator[int]:
        """Yield the steps of the present round."""
        first = self.round * self.steps_per_round
        steps = range(first, first + self.steps_per_round)
        apart = self.last_apart is None or self.round < self.last_apart
        return iter(steps) if apart else (-1 - step for step in steps)


class SliceBatches(Dataset[Batch]):
    """Augmented crops of cached slices.

    Item ``step`` depends on the plan's seed and the step only; item ``-1 - step`` is the batch of
    the same step drawn from the cases held out, too. Of ``world`` processes each gets its part of
    the same batch.
    """

    def __init__(  # noqa: PLR0913 - what a batch is made from, and this process's share
        self,
        data: Sequence[CachedCase],
        *,
        recipe: Recipe,
        plan: TrainingPlan,
        late: Sequence[CachedCase] = (),
        settings: AugmentationSettings | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Prepare to draw.

        Args:
            data: The training cases.
            late: The cases held out, if they are trained on in the end.
            recipe: Says what a slice is.
            plan: Crop, batch, mirroring, foreground share and seed.
            settings: How strongly crops are varied.
            rank: Number of this process.
            world: How many processes there are.

        Raises:
            InputError: The batch does not divide among the processes, or there is no label.
        """
        if plan.batch % world:
            msg = (
                f"a batch of {plan.batch} does not divide among {world} processes: use a "
                "multiple, or other processes"
            )
            raise InputError(msg)
        self.data = [*data, *late]
        self._n_slices = sum(case.n_slices for case in data)
        self.seed = plan.seed
        self.indices = range(rank * plan.batch // world, (rank + 1) * plan.batch // world)
        self.settings = settings or AugmentationSettings()
        self.form = CropFormat(
            crop=plan.crop or _whole_slices(self.data, recipe.network.multiple),
            n_channels=len(recipe.channels),
            **_mirrored(recipe, plan),
            has_bias=all(c.normalization.method != "fixed" for c in recipe.channels),
        )
        share = plan.foreground_share
        self.drawer = PlaceDrawer(list(data), self.form.crop, foreground_share=share)
        self.late_drawer = self.drawer
        if late:
            self.late_drawer = PlaceDrawer(self.data, self.form.crop, foreground_share=share)

    def __len__(self) -> int:
        """How many slices there are to draw from."""
        return self._n_slices

    def __getitem__(self, index: int) -> Batch:
        """Return ``image`` (b, context·C, H, W) float32 and ``label`` codes (b, H, W) uint8."""
        step, drawer = (index, self.drawer) if index >= 0 else (-1 - index, self.late_drawer)
        rngs = [np.random.default_rng([self.seed, step, place]) for place in self.indices]
        size = self.form.patch(self.settings)
        patches = []
        for rng in rngs:
            place = drawer.draw(rng)
            patches.append(cut(self.data[place.case], place, size))
        images = torch.from_numpy(np.stack([image for image, _ in patches]))
        codes = torch.from_numpy(np.stack([label for _, label in patches]))
        images, codes = augment(images, codes, rngs, form=self.form, settings=self.settings)
        return {"image": images.contiguous(memory_format=torch.channels_last), "label": codes}


def _whole_slices(cases: Sequence[CachedCase], multiple: int) -> tuple[int, int]:
    """Return the smallest padded size that every slice fits into."""
    rows, columns = (max(case.shape[axis] for case in cases) for axis in (0, 1))
    return rows + -rows % multiple, columns + -columns % multiple


def _mirrored(recipe: Recipe, plan: TrainingPlan) -> dict[str, Any]:
    """Return which in-plane axes may be mirrored.

    With slices across the thickest axis the plane is only known case by case, so an axis counts
    where it would be in every plane that holds it.
    """
    if recipe.slice_axis in IN_PLANE:
        rows, columns = IN_PLANE[recipe.slice_axis]
        return {"mirror_rows": rows in plan.mirror, "mirror_columns": columns in plan.mirror}
    every = {axis for plane in IN_PLANE.values() for axis in plane}
    allowed = every <= set(plan.mirror)
    return {"mirror_rows": allowed, "mirror_columns": allowed}
