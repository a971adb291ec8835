"""A dataset of random training slabs, for any PyTorch or MONAI data loader."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from unet_med.errors import InputError
from unet_med.training.folding import folded_versions
from unet_med.training.randomness import Draw
from unet_med.training.scan import draw_scan
from unet_med.training.settings import SlabSettings
from unet_med.training.slabs import SlabFormat, draw_indices, draw_slabs
from unet_med.training.source import Source, build_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unet_med.recipe import Recipe

ENDINGS = (".nii.gz", ".nii")
EPOCH_STRIDE = 1_000_003
N_FOLD_LABELS = 3


def find_pairs(folder: str | Path) -> list[dict[str, str]]:
    """Return the scans and labels of a training folder, sorted by name.

    Args:
        folder: Has ``images/`` and ``labels/`` with equally named NIfTI files.

    Returns:
        ``{"image": path, "label": path}`` for each pair.

    Raises:
        InputError: There is no image, or an image has no labels.
    """
    root = Path(folder)
    images = sorted(p for p in root.glob("images/*") if p.name.endswith(ENDINGS))
    if not images:
        msg = f"no *.nii or *.nii.gz in {root / 'images'}: name a folder with images/ and labels/"
        raise InputError(msg)
    lonely = [p.name for p in images if not (root / "labels" / p.name).is_file()]
    if lonely:
        msg = f"{root / 'labels'} lacks {lonely}: each image needs labels of the same name"
        raise InputError(msg)
    return [{"image": str(p), "label": str(root / "labels" / p.name)} for p in images]


class SlabDataset(Dataset[list[dict[str, torch.Tensor]]]):
    """Each item is a random scan of one of the cases: a list of slabs with their labels.

    An item depends on the seed, the epoch and its index only. MONAI's ``list_data_collate``
    (the default of its DataLoader) makes one batch of the slabs of several items.
    """

    def __init__(  # noqa: PLR0913 - one argument per key of a training config
        self,
        data: Sequence[dict[str, Any]],
        transform: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        recipe: Recipe,
        scans_per_epoch: int,
        settings: SlabSettings | None = None,
        slices_per_scan: int = 4,
        folds_per_case: int = 4,
        seed: int = 0,
    ) -> None:
        """Prepare nothing yet: the cases are read when the first item is asked for.

        Args:
            data: One dictionary a case.
            transform: Loads a case: ``image`` and ``label`` (1, i, j, k) in RAS+ order as MONAI
                MetaTensors, which know their spacing.
            recipe: Context, in-plane spacing and normalisation of the network's input.
            scans_per_epoch: Length of the dataset.
            settings: How strongly scans are varied.
            slices_per_scan: Slabs per item.
            folds_per_case: Versions of every case with random folds; needs labels 1 to 3.
            seed: Start of the random numbers.
        """
        self.data = list(data)
        self.transform = transform
        self.format = SlabFormat(
            context=recipe.context,
            in_plane_mm=recipe.in_plane_spacing_mm or 1.0,
            normalisation=recipe.channels[0].normalisation,
        )
        self.settings = settings or SlabSettings()
        self.scans_per_epoch = scans_per_epoch
        self.slices_per_scan = slices_per_scan
        self.folds_per_case = folds_per_case if self.settings.folded > 0 else 0
        self.seed = seed
        self.epoch = 0
        self._sources: list[list[Source]] = []

    def __len__(self) -> int:
        return self.scans_per_epoch

    def set_epoch(self, epoch: int) -> None:
        """Draw other scans from now on."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> list[dict[str, torch.Tensor]]:
        if not self._sources:
            self._sources = [self._read(case, n) for n, case in enumerate(self.data)]
        draw = self._draw(self.epoch * EPOCH_STRIDE + index + 1)
        versions = self._sources[draw.integer(len(self._sources))]
        folded = len(versions) > 1 and draw.chance(self.settings.folded)
        source = versions[1 + draw.integer(len(versions) - 1)] if folded else versions[0]
        scan = draw_scan(source, self.settings, draw)
        indices = draw_indices(scan, self.slices_per_scan, draw)
        return draw_slabs(scan, self.format, self.settings, indices=indices, draw=draw)

    def _draw(self, number: int) -> Draw:
        return Draw(torch.Generator().manual_seed(self.seed * EPOCH_STRIDE**2 + number))

    def _read(self, case: dict[str, Any], number: int) -> list[Source]:
        """Read a case and fold it ``folds_per_case`` times."""
        loaded = self.transform(case)
        affine = np.asarray(loaded["image"].affine)
        x, y, z = (float(mm) for mm in np.linalg.norm(affine[:3, :3], axis=0))
        image, labels = (np.asarray(loaded[key])[0] for key in ("image", "label"))
        source = build_source(image, labels, (x, y, z))
        folds = self.folds_per_case if source.n_labels == N_FOLD_LABELS else 0
        draw = self._draw(-(number + 1))
        return [source, *folded_versions(source, folds, draw)]
