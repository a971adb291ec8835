"""A bundle loaded once, and what it does with a scan."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.inference import (
    Prefetch,
    SlicePipeline,
    StageClock,
    VolumeSlices,
    fit_batch,
    iter_batches,
    iter_labels,
    iter_logits,
    label_dtype,
    volume_statistics,
)
from unet_med.segmenter.provenance import mask_provenance
from unet_med.segmenter.results import CaseFacts, Segmentation, VoxelCount
from unet_med.segmenter.sources import as_volume, check_channels
from unet_med.volumes import ReadRules, as_planes, files_of, write_mask_slabs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from unet_med.backends import Execution, SlicePredictor
    from unet_med.bundle import Bundle
    from unet_med.preprocessing import IntensityStatistics
    from unet_med.recipe import Recipe
    from unet_med.volumes import InputFiles, MaskProvenance, Volume

    Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Segmenter:
    """A bundle loaded once, ready for many scans.

    Attributes:
        bundle: The opened bundle.
        execution: How the network is run, resolved.
        predictor: The network in its backend.
        memory_gb: As for ``load_segmenter``.
        rules: How scans are read; ``dataclasses.replace`` changes them.
    """

    bundle: Bundle
    execution: Execution
    predictor: SlicePredictor
    memory_gb: float | None = None
    rules: ReadRules = field(default_factory=ReadRules)

    @property
    def recipe(self) -> Recipe:
        """The bundle's recipe."""
        return self.bundle.recipe

    @cached_property
    def provenance(self) -> MaskProvenance:
        """What every mask says about how it was made; the bundle is digested once."""
        return mask_provenance(self.bundle, self.execution)

    def segment(
        self,
        source: Any,  # noqa: ANN401 - one of the kinds below
        *,
        channel: int | None = None,
        progress: Progress | None = None,
    ) -> Segmentation:
        """Segment one case in memory.

        Args:
            source: A path; a nibabel or SimpleITK image; ``(array, affine)`` with the array
                (i, j, k) or (i, j, k, C) in nibabel's order; or a list of one path or image per
                channel, in the recipe's order.
            channel: For a 4D file: which channel or frame to take.
            progress: Called with (slices done, slices in all).

        Returns:
            Labels on the scan's own grid.

        Raises:
            VolumeError: The scan cannot be read or has nothing to segment.
            GeometryError: The channels' grids differ.
            InputError: The number of channels is not the recipe's.
        """
        case = OpenCase(self, source, channel=channel)
        labels = case.whole(progress)
        return Segmentation(**vars(case.facts()), labels=labels)

    def segment_to(
        self,
        source: Any,  # noqa: ANN401 - see segment
        path: Path,
        *,
        channel: int | None = None,
        files: InputFiles | None = None,
        progress: Progress | None = None,
    ) -> CaseFacts:
        """Segment one case straight into a mask file: the voxels and bytes of ``segment`` + save.

        Where slices are the file's planes, labels are written slab by slab while the next ones
        are computed and read, so memory does not grow with the number of slices. Otherwise the
        label map, one byte per voxel for up to 255 labels, is held until it is whole, from half
        a gigabyte on in a temporary file.

        Args:
            source: As for ``segment``.
            path: The mask, ending in .nii.gz or .nii.
            channel: As for ``segment``.
            files: The files of the source, if they are digested already.
            progress: As for ``segment``.

        Returns:
            What is known of the case.

        Raises:
            VolumeError, GeometryError, InputError: As for ``segment``.
            OutputError: The mask cannot be written, or is not proven; the temporary disk is full.
        """
        return self.open(source, channel=channel, files=files).write_to(path, progress)

    def open(
        self,
        source: Any,  # noqa: ANN401 - see segment
        *,
        channel: int | None = None,
        files: InputFiles | None = None,
    ) -> OpenCase:
        """Open one case and count its intensities; the network does not run yet.

        Args:
            source: As for ``segment``.
            channel: As for ``segment``.
            files: The files of the source, if they are digested already.

        Returns:
            The case, whose ``write_to`` does what is left.

        Raises:
            VolumeError, GeometryError, InputError: As for ``segment``.
        """
        return OpenCase(self, source, channel=channel, files=files)


class OpenCase:
    """One case, opened and its intensities counted, on its way through the stream."""

    def __init__(
        self,
        segmenter: Segmenter,
        source: Any,  # noqa: ANN401 - see segment
        *,
        channel: int | None,
        files: InputFiles | None = None,
    ) -> None:
        self.began = time.perf_counter()
        self.clock = StageClock()
        self.recipe = segmenter.recipe
        self.predictor = segmenter.predictor
        with self.clock.stage("open"):
            self.volume: Volume = as_volume(source, channel, segmenter.rules)
            check_channels(self.volume, self.recipe)
            self.files = files or files_of(source)
            self.provenance = segmenter.provenance.of(self.files, channel=channel)
        self.pipeline = fit_batch(
            SlicePipeline.for_scan(self.recipe, self.volume.geometry),
            self.recipe,
            backend=segmenter.execution.backend,
            memory_gb=segmenter.memory_gb,
        )
        with self.clock.stage("statistics"):
            self.statistics: tuple[IntensityStatistics, ...] = volume_statistics(self.volume)
            for counted, rule in zip(self.statistics, self.recipe.channels, strict=True):
                counted.region(rule.normalisation.region)  # fails before any slice is run
        self.count = VoxelCount(self.recipe.labels)

    @cached_property
    def slices(self) -> VolumeSlices:
        """The scan's slices, normalised."""
        rules = tuple(channel.normalisation for channel in self.recipe.channels)
        return VolumeSlices(self.volume, self.pipeline.layout, rules, self.statistics)

    def labels(self, progress: Progress | None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first slice, labels (n, H, W)); the next slices are read meanwhile."""
        clock, n_slices = self.clock, self.slices.n_slices
        batches = Prefetch(iter_batches(self.slices, self.pipeline, clock=clock))
        logits = iter_logits(batches, self.pipeline, self.predictor, clock=clock)
        for start, part in iter_labels(logits, self.recipe, clock=clock):
            self.count.add(part)
            yield start, part
            if progress is not None:
                progress(start + len(part), n_slices)
        if self.files is not None:  # before the mask is whole, so that none is left
            self.files.refuse_changed()

    def planes(self, progress: Progress | None) -> Iterator[np.ndarray]:
        """Yield labels (i, j, n) in slabs of the file's planes; the next are computed meanwhile."""
        layout = self.pipeline.layout
        parts = Prefetch(self.labels(progress))
        return as_planes(
            (layout.from_slices(part) for _, part in parts),
            shape=self.volume.geometry.shape,
            axis=layout.slice_axis,
            dtype=label_dtype(tuple(self.recipe.labels)),
        )

    def write_to(self, path: Path, progress: Progress | None) -> CaseFacts:
        """Write the mask slab by slab; see ``Segmenter.segment_to``."""
        names = self.recipe.labels
        slabs = self.clock.busy("write", self.planes(progress))
        dtype = label_dtype(tuple(names))
        write_mask_slabs(
            slabs,
            path,
            like=self.volume,
            dtype=dtype,
            label_names=names,
            provenance=self.provenance,
        )
        return self.facts()

    def whole(self, progress: Progress | None) -> np.ndarray:
        """Return all labels (i, j, k)."""
        labels = np.zeros(self.volume.geometry.shape, label_dtype(tuple(self.recipe.labels)))
        view = self.pipeline.layout.to_slices(labels)
        for start, part in self.labels(progress):
            view[start : start + len(part)] = part
        return labels

    def facts(self) -> CaseFacts:
        """Return what is known now that all slices have passed."""
        nonfinite = sum(counted.n_nonfinite for counted in self.statistics)
        total = time.perf_counter() - self.began
        return CaseFacts(
            volume=self.volume,
            label_names=dict(self.recipe.labels),
            provenance=self.provenance,
            volumes_ml=self.count.volumes_ml(self.volume.geometry),
            seconds={**self.clock.seconds, "total": total},
            nonfinite_voxels=nonfinite,
            warnings=_warnings(self.volume, nonfinite),
        )


def _warnings(volume: Volume, nonfinite_voxels: int) -> tuple[str, ...]:
    if not nonfinite_voxels:
        return tuple(volume.warnings)
    found = f"{nonfinite_voxels} voxels are NaN or infinite and were taken as the smallest value"
    return (*volume.warnings, found)
