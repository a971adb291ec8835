"""One case, opened and its intensities counted, on its way through the stream."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.inference import (
    EnsembleMember,
    Prefetch,
    SharedVolume,
    SlicePipeline,
    StageTimer,
    VolumeSlices,
    fit_batch,
    group_by_input,
    iter_ensemble_logits,
    iter_labels,
    postprocess_labels,
    smallest_label_dtype,
    volume_statistics,
    with_common_step,
)
from unet_med.quality import (
    Quality,
    QualityEstimator,
    intensity_warnings,
    scan_warnings,
    volume_warnings,
)
from unet_med.segmenter.inputs import as_volume, check_channels
from unet_med.segmenter.results import CaseMaps, CaseReport, VoxelCounter, check_map_kinds
from unet_med.volumes import MaskMetadata, digest_inputs, reslice_to_planes, write_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from unet_med._progress import Progress
    from unet_med.backends import SlicePredictor
    from unet_med.geometry import SliceLayout
    from unet_med.inference import PostprocessingReport
    from unet_med.preprocessing import IntensityStatistics, Normalization
    from unet_med.segmenter.bundles import LoadedBundle
    from unet_med.segmenter.segmenter import Segmenter
    from unet_med.volumes import InputFiles, Volume


class CaseInference:
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
        self.start_time = time.perf_counter()
        self.timer = StageTimer()
        self.recipe = segmenter.recipe
        with self.timer.stage("open"):
            self.volume: Volume = as_volume(source, channel, segmenter.read_rules)
            check_channels(self.volume, self.recipe)
            self.files = files or digest_inputs(source)
            self.provenance = segmenter.provenance.of(self.files, channel=channel)
        self._loaded_bundles = segmenter.loaded_bundles
        self._memory_gb = segmenter.memory_gb
        with self.timer.stage("statistics"):
            self.statistics: tuple[IntensityStatistics, ...] = volume_statistics(self.volume)
            for loaded in self._loaded_bundles:  # fails before any slice is run
                for counted, rule in zip(self.statistics, _rules(loaded), strict=True):
                    counted.region(rule.region)
        self._counter = VoxelCounter(self.recipe.labels)
        self._postprocessing: PostprocessingReport | None = None
        self._maps: CaseMaps | None = None

    def wrap_predictors(self, wrap: Callable[[SlicePredictor], SlicePredictor]) -> None:
        """Run each network through a wrapper that lets other cases have it in between."""
        self._loaded_bundles = tuple(
            replace(loaded, predictor=wrap(loaded.predictor)) for loaded in self._loaded_bundles
        )

    @cached_property
    def members(self) -> tuple[EnsembleMember, ...]:
        """Each member's way through this scan, with a common step."""
        return with_common_step([self._member(loaded) for loaded in self._loaded_bundles])

    @property
    def layout(self) -> SliceLayout:
        """How the scan becomes slices, in the file's own order."""
        return self.members[0].pipeline.layout

    @property
    def n_slices(self) -> int:
        """How many slices there are."""
        return self.layout.n_slices(self.volume.geometry)

    def logits(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first slice, logits (n, K, H, W) float32 on the scan's grid), once."""
        shared = SharedVolume(self.volume, readers=len(group_by_input(self.members)))

        def make_source(member: EnsembleMember) -> VolumeSlices:
            return VolumeSlices(shared, self.layout, member.normalizations, self.statistics)

        yield from iter_ensemble_logits(
            self.members, make_source, activation=self.recipe.activation, timer=self.timer
        )

    def labels(self, progress: Progress | None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first slice, labels (n, H, W)) before post-processing.

        Slices are read, and the network runs, in threads of their own meanwhile.
        """
        logits = Prefetch(self.logits(), depth=0)  # logits are large
        watch = self._watch.add
        for start, part in iter_labels(logits, self.recipe, timer=self.timer, on_labels=watch):
            yield start, part
            if progress is not None:
                progress(start + len(part), self.n_slices)
        if self.files is not None:  # before the mask is whole, so that none is left
            self.files.check_unchanged()

    def planes(self, progress: Progress | None) -> Iterator[np.ndarray]:
        """Yield final labels (i, j, n) in slabs of the file's planes.

        Without post-processing the next slices are computed meanwhile; with it all labels are
        there before the first plane.
        """
        if self.recipe.postprocessing:
            yield from (
                plane[..., np.newaxis] for plane in np.moveaxis(self.label_map(progress), 2, 0)
            )
            return
        parts = Prefetch(self._counted(progress))
        yield from reslice_to_planes(
            (self.layout.from_slices(part) for part in parts),
            shape=self.volume.geometry.shape,
            axis=self.layout.slice_axis,
            dtype=smallest_label_dtype(tuple(self.recipe.labels)),
        )

    def write_to(
        self, path: Path, progress: Progress | None, *, maps: Mapping[str, Path] | None = None
    ) -> CaseReport:
        """Write the mask slab by slab, then the maps; see ``Segmenter.segment_to``."""
        kinds = check_map_kinds(tuple(maps or ()))
        names = self.recipe.labels
        with closing(CaseMaps(kinds, self.volume, self.layout, names)) as self._maps:
            slabs = self.timer.busy("write", self.planes(progress))
            dtype = smallest_label_dtype(tuple(names))
            notes = MaskMetadata(names, self.provenance, self.recipe.terminology)
            write_labels(slabs, path, like=self.volume, dtype=dtype, metadata=notes)
            with self.timer.stage("write"):
                self._maps.write(maps or {}, self.provenance)
        return self.report()

    def label_map(self, progress: Progress | None) -> np.ndarray:
        """Return all final labels (i, j, k)."""
        labels = np.zeros(
            self.volume.geometry.shape, smallest_label_dtype(tuple(self.recipe.labels))
        )
        view = self.layout.to_slices(labels)
        for start, part in self.labels(progress):
            view[start : start + len(part)] = part
        if self.recipe.postprocessing:
            with self.timer.stage("postprocessing"):
                self._postprocessing = postprocess_labels(labels, self.recipe, self.volume.geometry)
            with self.timer.stage("quality"):
                self._watch.add_labels(0, view)
        self._counter.add(labels)
        return labels

    def report(self) -> CaseReport:
        """Return what is known now that all slices have passed."""
        nonfinite = sum(counted.n_nonfinite for counted in self.statistics)
        quality = self._watch.quality()
        volumes_ml = self._counter.volumes_ml(self.volume.geometry)
        total = time.perf_counter() - self.start_time
        return CaseReport(
            volume=self.volume,
            label_names=dict(self.recipe.labels),
            provenance=self.provenance,
            terminology=dict(self.recipe.terminology),
            volumes_ml=volumes_ml,
            seconds={**self.timer.seconds, "total": total},
            nonfinite_voxels=nonfinite,
            warnings=(
                *_warnings(self.volume, nonfinite),
                *self._unlike_training(volumes_ml, quality),
            ),
            quality=quality,
            postprocessing=self._postprocessing,
        )

    def _unlike_training(self, volumes_ml: dict[str, float], quality: Quality) -> list[str]:
        cut = [label.name for label in quality.labels if label.touches_border]
        return [
            *scan_warnings(self.recipe, self.volume.geometry, self.layout),
            *intensity_warnings(self.recipe, self.statistics),
            *volume_warnings(self.recipe.fingerprint, volumes_ml, cut=cut),
        ]

    @cached_property
    def _watch(self) -> QualityEstimator:
        sink = None if self._maps is None else self._maps.add
        return QualityEstimator(self.recipe, self.volume.geometry, self.layout, sink=sink)

    def _counted(self, progress: Progress | None) -> Iterator[np.ndarray]:
        for _, part in self.labels(progress):
            self._counter.add(part)
            yield part

    def _member(self, loaded: LoadedBundle) -> EnsembleMember:
        recipe = loaded.bundle.recipe
        pipeline = fit_batch(
            SlicePipeline.for_scan(recipe, self.volume.geometry),
            recipe,
            backend=loaded.execution.backend,
            memory_gb=self._memory_gb,
        )
        return EnsembleMember(pipeline, _rules(loaded), loaded.predictor)


def _rules(loaded: LoadedBundle) -> tuple[Normalization, ...]:
    return tuple(channel.normalization for channel in loaded.bundle.recipe.channels)


def _warnings(volume: Volume, nonfinite_voxels: int) -> tuple[str, ...]:
    if not nonfinite_voxels:
        return tuple(volume.warnings)
    found = f"{nonfinite_voxels} voxels are NaN or infinite and were taken as the smallest value"
    return (*volume.warnings, found)
