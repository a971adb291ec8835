"""Random scans of labeled heads, drawn by seed, step and number."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from unet_med.training.folding import folded_versions
from unet_med.training.randomness import Draw
from unet_med.training.scan import draw_scan
from unet_med.training.slabs import SlabFormat, draw_indices, draw_slabs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unet_med.recipe import Recipe
    from unet_med.training.settings import SlabSettings
    from unet_med.training.source import Source

STRIDE = 1_000_003
"""Keeps the random numbers of seeds, steps and scans apart."""

N_FOLD_LABELS = 3


class SlabDraws:
    """Draws the slabs of random scans; a scan depends on the seed, its step and its number only."""

    def __init__(  # noqa: PLR0913 - one argument per setting
        self,
        data: Sequence[dict[str, str]],
        read: Callable[[dict[str, str]], Source],
        *,
        recipe: Recipe,
        settings: SlabSettings,
        slices_per_scan: int = 4,
        folds_per_case: int = 4,
        seed: int = 0,
    ) -> None:
        """Prepare nothing yet: the cases are read when the first scan is asked for.

        Args:
            data: One dictionary a case.
            read: Reads a case.
            recipe: Context, in-plane spacing and normalization of the network's input.
            settings: How strongly scans are varied.
            slices_per_scan: Slabs per scan.
            folds_per_case: Versions of every case with random folds; needs labels 1 to 3.
            seed: Start of the random numbers.
        """
        self.data = list(data)
        self.read = read
        self.format = SlabFormat(
            context=recipe.context,
            in_plane_mm=recipe.in_plane_spacing_mm or 1.0,
            normalization=recipe.channels[0].normalization,
        )
        self.settings = settings
        self.slices_per_scan = slices_per_scan
        self.folds_per_case = folds_per_case if settings.folded > 0 else 0
        self.seed = seed

    @cached_property
    def sources(self) -> list[list[Source]]:
        """Every case as it is, followed by its folded versions."""
        return [self._versions(case, number) for number, case in enumerate(self.data)]

    def scan(self, step: int, number: int) -> list[dict[str, Any]]:
        """Return the slabs of one scan of a step, see `draw_slabs`."""
        draw = self._draw(step * STRIDE + number + 1)
        versions = self.sources[draw.integer(len(self.sources))]
        folded = len(versions) > 1 and draw.chance(self.settings.folded)
        source = versions[1 + draw.integer(len(versions) - 1)] if folded else versions[0]
        scan = draw_scan(source, self.settings, draw)
        indices = draw_indices(scan, self.slices_per_scan, draw)
        return draw_slabs(scan, self.format, self.settings, indices=indices, draw=draw)

    def _draw(self, number: int) -> Draw:
        return Draw(torch.Generator().manual_seed(self.seed * STRIDE**2 + number))

    def _versions(self, case: dict[str, str], number: int) -> list[Source]:
        """Read a case and fold it ``folds_per_case`` times."""
        source = self.read(case)
        folds = self.folds_per_case if source.n_labels == N_FOLD_LABELS else 0
        return [source, *folded_versions(source, folds, self._draw(-(number + 1)))]
