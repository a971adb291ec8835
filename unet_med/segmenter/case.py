"""Run the networks over one opened case: labels, and what is known of them, out."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from unet_med.inference import (
    EnsembleMember,
    Prefetch,
    SharedVolume,
    StageTimer,
    VolumeSlices,
    group_by_input,
    iter_ensemble_logits,
    iter_labels,
    postprocess_labels,
    smallest_label_dtype,
)
from unet_med.quality import (
    Quality,
    QualityEstimator,
    intensity_warnings,
    scan_warnings,
    volume_warnings,
)
from unet_med.segmenter.results import (
    CaseMaps,
    CaseReport,
    Segmentation,
    VoxelCounter,
    check_map_kinds,
)
from unet_med.volumes import MaskMetadata, reslice_to_planes, write_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from unet_med._progress import Progress
    from unet_med.backends import SlicePredictor
    from unet_med.geometry import SliceLayout
    from unet_med.inference import PostprocessingReport
    from unet_med.preprocessing import IntensityStatistics
    from unet_med.recipe import Recipe
    from unet_med.volumes import InputFiles, MaskProvenance, Volume


@dataclass(frozen=True, eq=False)
class CaseInference:
    """Hold one opened case and the networks to run over it.

    Nothing in it changes. Each method reads the scan and runs the networks from the start, so
    methods can be called in any order and again.

    Attributes:
        recipe: The bundle's recipe; of an ensemble, the first.
        volume: The scan.
        statistics: Whole-volume statistics per channel.
        members: Each network with its pipeline for this scan, with a common step.
        provenance: How the labels are made.
        files: The scan's files and their digests; ``None`` for a scan in memory.
        open_seconds: Seconds of the stages ``open`` and ``statistics``, and their ``total``.

    Example:
        >>> import unet_med
        >>> voxels = np.random.default_rng(0).normal(100, 20, (16, 12, 3)).astype(np.float32)
        >>> case = unet_med.load(backend="torch", threads=1).open((voxels, np.eye(4)))
        >>> case.n_slices
        3
        >>> case.segment().labels.shape
        (16, 12, 3)
    """

    recipe: Recipe
    volume: Volume
    statistics: tuple[IntensityStatistics, ...]
    members: tuple[EnsembleMember, ...]
    provenance: MaskProvenance
    files: InputFiles | None = None
    open_seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def layout(self) -> SliceLayout:
        """Return how the scan becomes slices, in the file's own order."""
        return self.members[0].pipeline.layout

    @property
    def n_slices(self) -> int:
        """Return the number of slices."""
        return self.layout.n_slices(self.volume.geometry)

    @property
    def label_dtype(self) -> np.dtype[np.unsignedinteger]:
        """Return the dtype of the labels."""
        return smallest_label_dtype(tuple(self.recipe.labels))

    def with_predictors(self, wrap: Callable[[SlicePredictor], SlicePredictor]) -> CaseInference:
        """Return the case with a wrapper around each network, such as a lock.

        Args:
            wrap: Takes a predictor and returns the one to run instead.
        """
        members = tuple(
            replace(member, predictor=wrap(member.predictor)) for member in self.members
        )
        return replace(self, members=members)

    def logits(self, *, timer: StageTimer | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first slice, logits (n, K, H, W) float32 on the scan's grid).

        Args:
            timer: Takes the times of stages ``read``, ``network``, ``restore`` and ``average``.
        """
        shared = SharedVolume(self.volume, readers=len(group_by_input(self.members)))

        def make_source(member: EnsembleMember) -> VolumeSlices:
            return VolumeSlices(shared, self.layout, member.normalizations, self.statistics)

        return iter_ensemble_logits(
            self.members, make_source, activation=self.recipe.activation, timer=timer
        )

    def segment(self, progress: Progress | None = None) -> Segmentation:
        """Return the labels and what is known of them.

        Args:
            progress: Called with (slices done, slices in all).
        """
        run = _Run(self, progress)
        labels = run.label_map()
        return Segmentation(**vars(run.report()), labels=labels)

    def write_to(
        self,
        path: Path,
        progress: Progress | None = None,
        *,
        maps: Mapping[str, Path] | None = None,
    ) -> CaseReport:
        """Write the mask slab by slab, then the maps; see ``Segmenter.segment_to``.

        Args:
            path: The mask.
            progress: Called with (slices done, slices in all).
            maps: Files of further maps, by kind.
        """
        kinds = check_map_kinds(tuple(maps or ()))
        names = self.recipe.labels
        with closing(CaseMaps(kinds, self.volume, self.layout, names)) as collected:
            run = _Run(self, progress, maps=collected if kinds else None)
            notes = MaskMetadata(names, self.provenance, self.recipe.terminology)
            slabs = run.timer.busy("write", run.planes())
            write_labels(slabs, path, like=self.volume, dtype=self.label_dtype, metadata=notes)
            with run.timer.stage("write"):
                collected.write(maps or {}, self.provenance)
        return run.report()


class _Run:
    """One pass over a case, and what is counted on the way."""

    def __init__(
        self, case: CaseInference, progress: Progress | None, *, maps: CaseMaps | None = None
    ) -> None:
        self.timer = StageTimer()
        self._start_time = time.perf_counter()
        self._case = case
        self._progress = progress
        self._counter = VoxelCounter(case.recipe.labels)
        self._postprocessing: PostprocessingReport | None = None
        self._estimator = QualityEstimator(
            case.recipe,
            case.volume.geometry,
            case.layout,
            sink=None if maps is None else maps.add,
        )

    def labels(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first slice, labels (n, H, W)) before post-processing.

        Slices are read, and the network runs, in threads of their own meanwhile.
        """
        case = self._case
        logits = Prefetch(case.logits(timer=self.timer), depth=0)  # logits are large
        add = self._estimator.add
        for start, part in iter_labels(logits, case.recipe, timer=self.timer, on_labels=add):
            if not case.recipe.postprocessing:
                self._counter.add(part)
            yield start, part
            if self._progress is not None:
                self._progress(start + len(part), case.n_slices)
        if case.files is not None:  # before the mask is whole, so that none is left
            case.files.check_unchanged()

    def label_map(self) -> np.ndarray:
        """Return all final labels (i, j, k)."""
        case = self._case
        labels = np.zeros(case.volume.geometry.shape, case.label_dtype)
        view = case.layout.to_slices(labels)
        for start, part in self.labels():
            view[start : start + len(part)] = part
        if case.recipe.postprocessing:
            with self.timer.stage("postprocessing"):
                self._postprocessing = postprocess_labels(labels, case.recipe, case.volume.geometry)
            with self.timer.stage("quality"):
                self._estimator.add_labels(0, view)
            self._counter.add(labels)
        return labels

    def planes(self) -> Iterator[np.ndarray]:
        """Yield final labels (i, j, n) in slabs of the file's planes.

        Without post-processing the next slices are computed meanwhile; with it all labels are
        there before the first plane.
        """
        case = self._case
        if case.recipe.postprocessing:
            yield from (plane[..., np.newaxis] for plane in np.moveaxis(self.label_map(), 2, 0))
            return
        yield from reslice_to_planes(
            (case.layout.from_slices(part) for _, part in Prefetch(self.labels())),
            shape=case.volume.geometry.shape,
            axis=case.layout.slice_axis,
            dtype=case.label_dtype,
        )

    def report(self) -> CaseReport:
        """Return what is known now that all slices have passed."""
        case = self._case
        nonfinite = sum(counted.n_nonfinite for counted in case.statistics)
        quality = self._estimator.quality()
        volumes_ml = self._counter.volumes_ml(case.volume.geometry)
        total = case.open_seconds.get("total", 0.0) + time.perf_counter() - self._start_time
        return CaseReport(
            volume=case.volume,
            label_names=dict(case.recipe.labels),
            provenance=case.provenance,
            terminology=dict(case.recipe.terminology),
            volumes_ml=volumes_ml,
            seconds={**case.open_seconds, **self.timer.seconds, "total": total},
            nonfinite_voxels=nonfinite,
            warnings=(
                *_warnings(case.volume, nonfinite),
                *_unlike_training(case, volumes_ml, quality),
            ),
            quality=quality,
            postprocessing=self._postprocessing,
        )


def _unlike_training(
    case: CaseInference, volumes_ml: dict[str, float], quality: Quality
) -> list[str]:
    cut = [label.name for label in quality.labels if label.touches_border]
    return [
        *scan_warnings(case.recipe, case.volume.geometry, case.layout),
        *intensity_warnings(case.recipe, case.statistics),
        *volume_warnings(case.recipe.fingerprint, volumes_ml, cut=cut),
    ]


def _warnings(volume: Volume, nonfinite_voxels: int) -> tuple[str, ...]:
    if not nonfinite_voxels:
        return tuple(volume.warnings)
    found = f"{nonfinite_voxels} voxels are NaN or infinite and were taken as the smallest value"
    return (*volume.warnings, found)
