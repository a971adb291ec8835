"""Sample patches from cached slices and make batches of them.

Item ``step`` of the batches is the whole batch of that step, or this process's share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from unet_med.errors import InputError
from unet_med.geometry import ANATOMICAL_AXES, SLICE_ORIENTATIONS, in_plane_axes
from unet_med.preprocessing import context_indices
from unet_med.training.augmentation import AugmentationSettings, PatchFormat, augment
from unet_med.training.data.batch_source import Batch
from unet_med.training.target_encoding import IGNORE_INDEX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from unet_med.recipe import Recipe
    from unet_med.training.data.batch_source import BatchIndex
    from unet_med.training.data.cache import CachedCase
    from unet_med.training.plan import TrainingPlan

JITTER = 0.25
"""A patch for a labeled pixel has it within this share of its sides from its middle."""


@dataclass(frozen=True, slots=True)
class PatchLocation:
    """The middle of a patch: case, slice and a pixel between pixels."""

    case: int
    slice: int
    row: float
    column: float


class PatchSampler:
    """Draws patches: a share of them on labeled pixels, the labels in turn, the rest anywhere."""

    def __init__(
        self,
        cases: Sequence[CachedCase],
        patch_size: tuple[int, int],
        *,
        foreground_fraction: float,
    ) -> None:
        """Look up which slices hold which label.

        Args:
            cases: The training cases.
            patch_size: Rows and columns.
            foreground_fraction: Share of patches on labeled pixels.

        Raises:
            InputError: No slice of any case holds a label.
        """
        self.cases = list(cases)
        self.patch_size = patch_size
        self.share = foreground_fraction
        slices = [(c, s) for c, case in enumerate(self.cases) for s in range(case.n_slices)]
        self.slices = np.array(slices, np.int64).reshape(-1, 2)
        counts = np.concatenate([case.counts for case in self.cases])
        self.slices_by_code = [
            (code, np.flatnonzero(counts[:, code]))
            for code in range(1, counts.shape[1])
            if counts[:, code].any()
        ]
        if not self.slices_by_code:
            msg = (
                "no training case holds any of the recipe's labels: nothing can be learned; "
                "check the label values with unet-med plan"
            )
            raise InputError(msg)

    def sample(self, rng: np.random.Generator) -> PatchLocation:
        """Draw one place."""
        on_label, turn, which, row, column, jitter_row, jitter_column = rng.random(7)
        if on_label >= self.share:
            index = int(which * len(self.slices))
            case, number = (int(n) for n in self.slices[index])
            height, width = self.cases[case].shape
            middle = self._clamped(row * height, column * width, (height, width))
            return PatchLocation(case, number, *middle)
        code, holding = self.slices_by_code[int(turn * len(self.slices_by_code))]
        case, number = (int(n) for n in self.slices[holding[int(which * len(holding))]])
        pixels = np.flatnonzero(self.cases[case].codes[number] == code)
        at_row, at_column = divmod(int(pixels[int(row * len(pixels))]), self.cases[case].shape[1])
        middle = self._clamped(
            at_row + 0.5 + JITTER * self.patch_size[0] * (2 * jitter_row - 1),
            at_column + 0.5 + JITTER * self.patch_size[1] * (2 * jitter_column - 1),
            self.cases[case].shape,
        )
        return PatchLocation(case, number, *middle)

    def _clamped(self, row: float, column: float, shape: tuple[int, int]) -> tuple[float, float]:
        """Keep the patch inside the slice where it fits, else put it on the slice's middle."""
        result = []
        for at, side, size in zip((row, column), self.patch_size, shape, strict=True):
            half = side / 2
            inside = min(max(at, half), size - half) if side < size else size / 2
            result.append(np.floor(inside - half) + half)  # whole pixels stay whole
        return float(result[0]), float(result[1])


def extract_patch(
    case: CachedCase, place: PatchLocation, size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Cut a patch around a place, its context stacked.

    Args:
        case: Where from.
        place: The middle; whole or half pixels as ``size`` is even or odd.
        size: Rows and columns.

    Returns:
        (context·C, h, w) float32, zeros outside the slice, and codes (h, w) uint8, `IGNORE_INDEX`
        outside the slice.
    """
    top = round(place.row - size[0] / 2)
    left = round(place.column - size[1] / 2)
    height, width = case.shape
    rows = slice(max(top, 0), min(top + size[0], height))
    columns = slice(max(left, 0), min(left + size[1], width))
    inside = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    seen = context_indices(place.slice, case.offsets, case.n_slices)
    n_channels = case.images.shape[1]
    image = np.zeros((len(seen) * n_channels, *size), np.float32)
    for n, index in enumerate(seen):
        channels = slice(n * n_channels, (n + 1) * n_channels)
        image[channels, inside[0], inside[1]] = case.images[index, :, rows, columns]
    codes = np.full(size, IGNORE_INDEX, np.uint8)
    codes[inside] = case.codes[place.slice, rows, columns]
    return image, codes


class PatchBatches(Dataset[Batch]):
    """Draw batches of augmented patches from cached slices: the trainer's own `BatchSource`.

    A batch depends on the plan's seed and its index only. Of several processes each gets its part
    of the same batch.

    Example:
        >>> from unet_med.bundle import default_bundle
        >>> from unet_med.recipe import Recipe
        >>> from unet_med.training.data.batch_source import BatchIndex
        >>> from unet_med.training.data.cache import CachedCase
        >>> from unet_med.training.plan import TrainingCase, TrainingPlan
        >>> recipe = Recipe.load(default_bundle() / "configs/recipe.json")
        >>> case = TrainingCase("a", ("a.nii",), "b.nii", "patient")
        >>> plan = TrainingPlan((case,), patch_size=(16, 24), batch_size=2, steps=1)
        >>> codes = np.tile(np.eye(32, dtype=np.uint8), (3, 1, 1))
        >>> cached = CachedCase(
        ...     "a",
        ...     images=codes[:, None].astype(np.float16),
        ...     codes=codes,
        ...     counts=np.array([[992, 32]] * 3),
        ...     offsets=(-1, 0, 1),
        ... )
        >>> batch = PatchBatches([cached], recipe=recipe, plan=plan)[BatchIndex(0)]
        >>> batch["image"].shape, batch["label"].shape
        (torch.Size([2, 3, 16, 24]), torch.Size([2, 16, 24]))
    """

    def __init__(  # noqa: PLR0913 - what a batch is made from, and this process's share
        self,
        data: Sequence[CachedCase],
        *,
        recipe: Recipe,
        plan: TrainingPlan,
        validation: Sequence[CachedCase] = (),
        settings: AugmentationSettings | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Prepare to draw.

        Args:
            data: The training cases.
            validation: The cases held out, if they are trained on in the end.
            recipe: Says what a slice is.
            plan: Crop, batch, mirroring, foreground share and seed.
            settings: How strongly patches are varied.
            rank: Number of this process.
            world_size: How many processes there are.

        Raises:
            InputError: The batch does not divide among the processes, or there is no label.
        """
        if plan.batch_size % world_size:
            msg = (
                f"a batch of {plan.batch_size} does not divide among {world_size} processes: use a "
                "multiple, or other processes"
            )
            raise InputError(msg)
        self.data = [*data, *validation]
        self._n_slices = sum(case.n_slices for case in data)
        self.seed = plan.seed
        self.indices = range(
            rank * plan.batch_size // world_size, (rank + 1) * plan.batch_size // world_size
        )
        self.settings = settings or AugmentationSettings()
        self.form = PatchFormat(
            patch_size=plan.patch_size or _whole_slices(self.data, recipe.network.multiple),
            n_channels=len(recipe.channels),
            **_mirrored(recipe, plan),
            has_bias=all(c.normalization.method != "fixed" for c in recipe.channels),
        )
        share = plan.foreground_fraction
        self.sampler = PatchSampler(list(data), self.form.patch_size, foreground_fraction=share)
        self.merged_sampler = self.sampler
        if validation:
            self.merged_sampler = PatchSampler(
                self.data, self.form.patch_size, foreground_fraction=share
            )

    def __len__(self) -> int:
        """How many slices there are to draw from."""
        return self._n_slices

    @property
    def slice_shape(self) -> tuple[int, int]:
        """Return the most rows and the most columns of any case's slices."""
        rows, columns = (max(case.shape[axis] for case in self.data) for axis in (0, 1))
        return rows, columns

    def __getitem__(self, index: BatchIndex) -> Batch:
        """Return ``image`` (b, context·C, H, W) float32 and ``label`` codes (b, H, W) uint8."""
        sampler = self.merged_sampler if index.merge_validation else self.sampler
        rngs = [np.random.default_rng([self.seed, index.step, place]) for place in self.indices]
        size = self.form.initial_patch_size(self.settings)
        patches = []
        for rng in rngs:
            place = sampler.sample(rng)
            patches.append(extract_patch(self.data[place.case], place, size))
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
    if recipe.slice_axis in SLICE_ORIENTATIONS:
        rows, columns = in_plane_axes(recipe.slice_axis)
        return {
            "mirror_rows": rows in plan.mirror_axes,
            "mirror_columns": columns in plan.mirror_axes,
        }
    allowed = set(ANATOMICAL_AXES) <= set(plan.mirror_axes)
    return {"mirror_rows": allowed, "mirror_columns": allowed}
