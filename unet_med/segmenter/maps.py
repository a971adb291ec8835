"""Maps of how sure the network is, collected while a case passes and written beside its mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unet_med.errors import InputError
from unet_med.quality import label_indices
from unet_med.volumes import MAP_KINDS, MapCollector, as_steps, write_map

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.geometry import SliceLayout
    from unet_med.volumes import MaskProvenance, Volume


class CaseMaps:
    """Collects maps slice by slice and writes them, each with the scan's header proven.

    Values are of the network's own labels, before any post-processing: ``probabilities`` of every
    label; ``uncertainty``, the probability that the label given is wrong; ``entropy`` in 0 … 1.

    Args:
        kinds: What is wanted of `MAP_KINDS`.
        volume: The scan.
        layout: How it becomes slices, in the file's own order.
        label_names: Label value to name, in the recipe's order.
    """

    def __init__(
        self,
        kinds: Sequence[str],
        volume: Volume,
        layout: SliceLayout,
        label_names: Mapping[int, str],
    ) -> None:
        self._volume = volume
        self._layout = layout
        self._names = label_names
        n_maps = {kind: len(label_names) if kind == "probabilities" else 1 for kind in kinds}
        shape, axis = volume.geometry.shape, layout.slice_axis
        self._collected = {
            kind: MapCollector(shape, count, axis=axis) for kind, count in n_maps.items()
        }

    def add(
        self, likely: NDArray[np.float32], doubt: NDArray[np.float32], labels: NDArray[np.integer]
    ) -> None:
        """Add the next slice.

        Args:
            likely: Probabilities (1 + L, H, W), background first.
            doubt: Entropy (H, W) in 0 … 1.
            labels: Label values (H, W) that the network gave.
        """
        for kind, collected in self._collected.items():
            if kind == "probabilities":
                values = likely[1:]
            elif kind == "entropy":
                values = doubt[None]
            else:
                given = label_indices(labels, tuple(self._names))[None]
                values = 1.0 - np.take_along_axis(likely, given, axis=0)
            collected.add(self._layout.from_slices(as_steps(values)[None]))

    def write(self, paths: Mapping[str, Path], provenance: MaskProvenance | None) -> None:
        """Write every map once all slices were added.

        Raises:
            OutputError, GeometryError: As for a mask.
        """
        for kind, path in paths.items():
            write_map(
                self._collected[kind].planes(),
                path,
                like=self._volume,
                kind=kind,
                label_names=self._names,
                provenance=provenance,
            )

    def close(self) -> None:
        """Forget what was collected."""
        for collected in self._collected.values():
            collected.close()


def check_map_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds of maps wanted, each once.

    Raises:
        InputError: One is unknown.

    Example:
        >>> check_map_kinds(["entropy", "entropy"])
        ('entropy',)
    """
    if unknown := [kind for kind in kinds if kind not in MAP_KINDS]:
        msg = f"cannot save {', '.join(map(repr, unknown))}; choose of {', '.join(MAP_KINDS)}"
        raise InputError(msg)
    return tuple(dict.fromkeys(kinds))
