"""One case, opened and its intensities counted, on its way through the stream."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.inference import (
    Prefetch,
    SharedVolume,
    SlicePipeline,
    StageClock,
    Strand,
    VolumeSlices,
    different_inputs,
    fit_batch,
    in_step,
    iter_ensemble_logits,
    iter_labels,
    label_dtype,
    postprocess_labels,
    volume_statistics,
)
from unet_med.quality import (
    Quality,
    QualityWatch,
    intensity_warnings,
    scan_warnings,
    volume_warnings,
)
from unet_med.segmenter.maps import CaseMaps, check_map_kinds
from unet_med.segmenter.results import CaseFacts, VoxelCount
from unet_med.segmenter.sources import as_volume, check_channels
from unet_med.volumes import MaskNotes, as_planes, files_of, write_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from unet_med.backends import SlicePredictor
    from unet_med.geometry import SliceLayout
    from unet_med.inference import PostprocessingReport
    from unet_med.preprocessing import IntensityStatistics, Normalization
    from unet_med.segmenter.members import Member
    from unet_med.segmenter.segmenter import Segmenter
    from unet_med.volumes import InputFiles, Volume

    Progress = Callable[[int, int], None]


class OpenCase:
    """One case: opened and its statistics taken; its labels are still to be asked for, once."""

    def __init__(
        self,
        segmenter: Segmenter,
        source: Any,  # noqa: ANN401 - see Segmenter.segment
        *,
        channel: int | None,
        files: InputFiles | None = None,
    ) -> None:
        """Open a case.

        Args:
            segmenter: What is run.
            source: As for ``Segmenter.segment``.
            channel: As for ``Segmenter.segment``.
            files: The files of the source, if they are digested already.
        """
        self.began = time.perf_counter()
        self.clock = StageClock()
        self.recipe = segmenter.recipe
        with self.clock.stage("open"):
            self.volume: Volume = as_volume(source, channel, segmenter.read_rules)
            check_channels(self.volume, self.recipe)
            self.files = files or files_of(source)
            self.provenance = segmenter.provenance.of(self.files, channel=channel)
        self._members = segmenter.members
        self._memory_gb = segmenter.memory_gb
        with self.clock.stage("statistics"):
            self.statistics: tuple[IntensityStatistics, ...] = volume_statistics(self.volume)
            for member in self._members:  # fails before any slice is run
                for counted, rule in zip(self.statistics, _rules(member), strict=True):
                    counted.region(rule.region)
        self._count = VoxelCount(self.recipe.labels)
        self._report: PostprocessingReport | None = None
        self._maps: CaseMaps | None = None

    def share_network(self, guard: Callable[[SlicePredictor], SlicePredictor]) -> None:
        """Run each network through a guard that lets other cases have it in between."""
        self._members = tuple(
            replace(member, predictor=guard(member.predictor)) for member in self._members
        )

    @cached_property
    def strands(self) -> tuple[Strand, ...]:
        """Each member's way through this scan, in step."""
        return in_step([self._strand(member) for member in self._members])

    @property
    def layout(self) -> SliceLayout:
        """How the scan becomes slices, in the file's own order."""
        return self.strands[0].pipeline.layout

    @property
    def n_slices(self) -> int:
        """How many slices there are."""
        return self.layout.n_slices(self.volume.geometry)

    def logits(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first slice, logits (n, K, H, W) float32 on the scan's grid), once."""
        shared = SharedVolume(self.volume, readers=len(different_inputs(self.strands)))

        def source_of(strand: Strand) -> VolumeSlices:
            return VolumeSlices(shared, self.layout, strand.rules, self.statistics)

        yield from iter_ensemble_logits(
            self.strands, source_of, activation=self.recipe.activation, clock=self.clock
        )

    def labels(self, progress: Progress | None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first slice, labels (n, H, W)) before post-processing.

        Slices are read, and the network runs, in threads of their own meanwhile.
        """
        logits = Prefetch(self.logits(), depth=0)  # logits are large
        watch = self._watch.add
        for start, part in iter_labels(logits, self.recipe, clock=self.clock, watch=watch):
            yield start, part
            if progress is not None:
                progress(start + len(part), self.n_slices)
        if self.files is not None:  # before the mask is whole, so that none is left
            self.files.refuse_changed()

    def planes(self, progress: Progress | None) -> Iterator[np.ndarray]:
        """Yield final labels (i, j, n) in slabs of the file's planes.

        Without post-processing the next slices are computed meanwhile; with it all labels are
        there before the first plane.
        """
        if self.recipe.postprocessing:
            yield from (plane[..., np.newaxis] for plane in np.moveaxis(self.whole(progress), 2, 0))
            return
        parts = Prefetch(self._counted(progress))
        yield from as_planes(
            (self.layout.from_slices(part) for part in parts),
            shape=self.volume.geometry.shape,
            axis=self.layout.slice_axis,
            dtype=label_dtype(tuple(self.recipe.labels)),
        )

    def write_to(
        self, path: Path, progress: Progress | None, *, maps: Mapping[str, Path] | None = None
    ) -> CaseFacts:
        """Write the mask slab by slab, then the maps; see ``Segmenter.segment_to``."""
        kinds = check_map_kinds(tuple(maps or ()))
        names = self.recipe.labels
        with closing(CaseMaps(kinds, self.volume, self.layout, names)) as self._maps:
            slabs = self.clock.busy("write", self.planes(progress))
            dtype = label_dtype(tuple(names))
            notes = MaskNotes(names, self.provenance, self.recipe.label_codes)
            write_labels(slabs, path, like=self.volume, dtype=dtype, notes=notes)
            with self.clock.stage("write"):
                self._maps.write(maps or {}, self.provenance)
        return self.facts()

    def whole(self, progress: Progress | None) -> np.ndarray:
        """Return all final labels (i, j, k)."""
        labels = np.zeros(self.volume.geometry.shape, label_dtype(tuple(self.recipe.labels)))
        view = self.layout.to_slices(labels)
        for start, part in self.labels(progress):
            view[start : start + len(part)] = part
        if self.recipe.postprocessing:
            with self.clock.stage("postprocessing"):
                self._report = postprocess_labels(labels, self.recipe, self.volume.geometry)
            with self.clock.stage("quality"):
                self._watch.add_labels(0, view)
        self._count.add(labels)
        return labels

    def facts(self) -> CaseFacts:
        """Return what is known now that all slices have passed."""
        nonfinite = sum(counted.n_nonfinite for counted in self.statistics)
        quality = self._watch.quality()
        volumes_ml = self._count.volumes_ml(self.volume.geometry)
        total = time.perf_counter() - self.began
        return CaseFacts(
            volume=self.volume,
            label_names=dict(self.recipe.labels),
            provenance=self.provenance,
            label_codes=dict(self.recipe.label_codes),
            volumes_ml=volumes_ml,
            seconds={**self.clock.seconds, "total": total},
            nonfinite_voxels=nonfinite,
            warnings=(
                *_warnings(self.volume, nonfinite),
                *self._unlike_training(volumes_ml, quality),
            ),
            quality=quality,
            postprocessing=self._report,
        )

    def _unlike_training(self, volumes_ml: dict[str, float], quality: Quality) -> list[str]:
        cut = [label.name for label in quality.labels if label.touches_border]
        return [
            *scan_warnings(self.recipe, self.volume.geometry, self.layout),
            *intensity_warnings(self.recipe, self.statistics),
            *volume_warnings(self.recipe.fingerprint, volumes_ml, cut=cut),
        ]

    @cached_property
    def _watch(self) -> QualityWatch:
        sink = None if self._maps is None else self._maps.add
        return QualityWatch(self.recipe, self.volume.geometry, self.layout, sink=sink)

    def _counted(self, progress: Progress | None) -> Iterator[np.ndarray]:
        for _, part in self.labels(progress):
            self._count.add(part)
            yield part

    def _strand(self, member: Member) -> Strand:
        recipe = member.bundle.recipe
        pipeline = fit_batch(
            SlicePipeline.for_scan(recipe, self.volume.geometry),
            recipe,
            backend=member.execution.backend,
            memory_gb=self._memory_gb,
        )
        return Strand(pipeline, _rules(member), member.predictor)


def _rules(member: Member) -> tuple[Normalization, ...]:
    return tuple(channel.normalization for channel in member.bundle.recipe.channels)


def _warnings(volume: Volume, nonfinite_voxels: int) -> tuple[str, ...]:
    if not nonfinite_voxels:
        return tuple(volume.warnings)
    found = f"{nonfinite_voxels} voxels are NaN or infinite and were taken as the smallest value"
    return (*volume.warnings, found)
