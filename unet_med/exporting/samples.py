"""Real slices of real scans, as the network sees them, for calibration and measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unet_med.errors import InputError
from unet_med.geometry import grid_difference
from unet_med.inference import SlicePipeline, VolumeSlices, volume_statistics
from unet_med.preprocessing import context_indices
from unet_med.volumes import ReadOptions, open_volume, stack_volumes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Scan:
    """Files of one scan, in the recipe's channel order, and its reference if there is one."""

    paths: tuple[Path, ...]
    reference: Path | None = None


@dataclass(frozen=True)
class Sample:
    """One slice of a scan.

    Attributes:
        slices: (1, C·context, H', W') float32 at the network's spacing, not yet padded.
        pipeline: The scan's steps around the network.
        reference: Reference labels (1, H, W) on the scan's grid, or ``None``.
    """

    slices: NDArray[np.float32]
    pipeline: SlicePipeline
    reference: NDArray[np.float32] | None


class InputRecorder:
    """A predictor that keeps what the network would see and gives zeros."""

    def __init__(self, n_outputs: int) -> None:
        self._n_outputs = n_outputs
        self.seen: list[NDArray[np.float32]] = []

    def __call__(self, slices: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Keep the batch; return logits (N, K, H, W) of zeros."""
        self.seen.append(slices)
        n_slices, _, height, width = slices.shape
        return np.zeros((n_slices, self._n_outputs, height, width), np.float32)


def iter_samples(scans: Sequence[Scan], recipe: Recipe, *, n_slices: int) -> Iterator[Sample]:
    """Yield slices spread evenly over the scans and, in each, over the slice axis.

    Constant slices, in which every pixel is the same, are passed over: they say nothing.

    Args:
        scans: At least one.
        recipe: How slices are made.
        n_slices: Slices in all. Of more scans than that, as many are taken, spread evenly.

    Yields:
        The slices, scan by scan, ascending.

    Raises:
        VolumeError, GeometryError, InputError: A scan or reference cannot be used.
    """
    chosen = [scans[index] for index in _spread(len(scans), n_slices)]
    for scan in chosen:
        yield from _samples_of(scan, recipe, max(1, n_slices // len(chosen)))


def network_inputs(samples: Iterator[Sample], n_outputs: int) -> list[NDArray[np.float32]]:
    """Return what the network sees of the samples: padded, and cut into windows if need be."""
    recorder = InputRecorder(n_outputs)
    for sample in samples:
        sample.pipeline.logits(sample.slices, recorder)
    return [batch[n : n + 1] for batch in recorder.seen for n in range(len(batch))]


def _samples_of(scan: Scan, recipe: Recipe, n_slices: int) -> Iterator[Sample]:
    series = ReadOptions().for_modalities(channel.modality for channel in recipe.channels).series
    parts = [open_volume(path, series=series) for path in scan.paths]
    volume = parts[0] if len(parts) == 1 else stack_volumes(parts)
    if volume.n_channels != len(recipe.channels):
        msg = f"{volume.name} has {volume.n_channels} channels, the recipe {len(recipe.channels)}"
        raise InputError(msg)
    pipeline = SlicePipeline.for_scan(recipe, volume.geometry)
    rules = tuple(channel.normalization for channel in recipe.channels)
    source = VolumeSlices(volume, pipeline.layout, rules, volume_statistics(volume))
    reference = _reference_slices(scan, source)
    found = 0
    for index in _spread(source.n_slices, n_slices):
        slices = _with_context(source, pipeline, index)
        if slices.min() < slices.max():
            found += 1
            true = None if reference is None else reference[index : index + 1]
            yield Sample(slices, pipeline, true)
    if not found:
        msg = f"{volume.name} is constant in every slice looked at: calibrate with other scans"
        raise InputError(msg)


def _with_context(source: VolumeSlices, pipeline: SlicePipeline, index: int) -> NDArray[np.float32]:
    seen = context_indices(index, pipeline.offsets, source.n_slices)
    first = min(seen)
    slices = pipeline.resampler.to_network(source.read(first, max(seen) + 1))
    return np.concatenate([slices[j - first] for j in seen])[None]


def _reference_slices(scan: Scan, source: VolumeSlices) -> NDArray[np.float32] | None:
    if scan.reference is None:
        return None
    mask = open_volume(scan.reference)
    difference = grid_difference(mask.geometry, source.volume.geometry)
    if difference is not None:
        msg = f"{scan.reference} lies on another grid than its scan: {difference}"
        raise InputError(msg)
    axis = source.layout.slice_axis
    labels = mask.read(0, mask.geometry.shape[axis], axis=axis)[0]
    return source.layout.to_slices(labels)


def _spread(n_all: int, n_wanted: int) -> list[int]:
    """Return ascending indices, the middles of equal parts.

    Example:
        >>> _spread(10, 2), _spread(2, 5)
        ([2, 7], [0, 1])
    """
    n_wanted = min(n_all, n_wanted)
    return [int((n + 0.5) * n_all / n_wanted) for n in range(n_wanted)]
