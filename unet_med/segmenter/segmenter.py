"""A bundle loaded once, and what it does with a scan."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from unet_med.inference import (
    EnsembleMember,
    SlicePipeline,
    StageTimer,
    fit_batch,
    volume_statistics,
    with_common_step,
)
from unet_med.segmenter.bundles import LoadedBundle, identity, mask_provenance
from unet_med.segmenter.case import CaseInference
from unet_med.segmenter.inputs import as_volume, check_channels
from unet_med.volumes import ReadOptions, digest_inputs

if TYPE_CHECKING:
    from pathlib import Path

    from unet_med._progress import Progress
    from unet_med.backends import Execution, SlicePredictor
    from unet_med.bundle import Bundle
    from unet_med.preprocessing import Normalization
    from unet_med.recipe import Recipe
    from unet_med.segmenter.results import CaseReport, Segmentation
    from unet_med.volumes import InputFiles, MaskProvenance, Volume


@dataclass(frozen=True)
class Segmenter:
    """A bundle loaded once, ready for many scans; or several, whose probabilities are averaged.

    Attributes:
        bundle: The opened bundle; of an ensemble, the first.
        execution: How the network is run, resolved; of an ensemble, how all of them are.
        predictor: The network in its backend.
        memory_gb: As for ``load_segmenter``.
        rules: How scans are read; ``dataclasses.replace`` changes them.
        other_bundles: The further bundles of an ensemble.
    """

    bundle: Bundle
    execution: Execution
    predictor: SlicePredictor
    memory_gb: float | None = None
    rules: ReadOptions = field(default_factory=ReadOptions)
    other_bundles: tuple[LoadedBundle, ...] = ()

    @property
    def recipe(self) -> Recipe:
        """The bundle's recipe; all of an ensemble agree in labels and post-processing."""
        return self.bundle.recipe

    @property
    def loaded_bundles(self) -> tuple[LoadedBundle, ...]:
        """Everything that is run."""
        return (LoadedBundle(self.bundle, self.execution, self.predictor), *self.other_bundles)

    def identity(self) -> dict[str, Any]:
        """Return names, versions, folders and mirroring, and one ``sha256`` of what is run."""
        return identity([loaded.bundle for loaded in self.loaded_bundles])

    @property
    def read_rules(self) -> ReadOptions:
        """How scans are read for this recipe."""
        return self.rules.for_modalities(channel.modality for channel in self.recipe.channels)

    @cached_property
    def provenance(self) -> MaskProvenance:
        """What every mask says about how it was made; the bundles are digested once."""
        return mask_provenance([loaded.bundle for loaded in self.loaded_bundles], self.execution)

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
        return self.open(source, channel=channel).segment(progress)

    def segment_to(
        self,
        source: Any,  # noqa: ANN401 - see segment
        path: Path,
        *,
        channel: int | None = None,
        files: InputFiles | None = None,
        progress: Progress | None = None,
    ) -> CaseReport:
        """Segment one case straight into a mask file: the voxels and bytes of ``segment`` + save.

        Where slices are the file's planes, labels are written slab by slab while the next ones
        are computed and read, so memory does not grow with the number of slices. Otherwise the
        label map, one byte per voxel for up to 255 labels, is held until it is whole, from half
        a gigabyte on in a temporary file. A recipe with post-processing needs the whole label map
        in memory; what that takes is in the case's report.

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
            OutputError: The mask cannot be written, or is not verified; the temporary disk is full.
        """
        return self.open(source, channel=channel, files=files).write_to(path, progress)

    def open(
        self,
        source: Any,  # noqa: ANN401 - see segment
        *,
        channel: int | None = None,
        files: InputFiles | None = None,
    ) -> CaseInference:
        """Open one case and take its statistics; the network does not run yet.

        Args:
            source: As for ``segment``.
            channel: As for ``segment``.
            files: The files of the source, if they are digested already.

        Returns:
            The case; ``segment`` and ``write_to`` run the network, in any order and again.

        Raises:
            VolumeError, GeometryError, InputError: As for ``segment``.
        """
        start_time, timer = time.perf_counter(), StageTimer()
        with timer.stage("open"):
            volume = as_volume(source, channel, self.read_rules)
            check_channels(volume, self.recipe)
            files = files or digest_inputs(source)
        with timer.stage("statistics"):
            statistics = volume_statistics(volume)
            for loaded in self.loaded_bundles:  # fails before any slice is run
                for counted, rule in zip(statistics, _normalizations(loaded), strict=True):
                    counted.region(rule.region)
        return CaseInference(
            recipe=self.recipe,
            volume=volume,
            statistics=statistics,
            members=with_common_step(
                [_member(loaded, volume, self.memory_gb) for loaded in self.loaded_bundles]
            ),
            provenance=self.provenance.of(files, channel=channel),
            files=files,
            open_seconds={**timer.seconds, "total": time.perf_counter() - start_time},
        )


def _member(loaded: LoadedBundle, volume: Volume, memory_gb: float | None) -> EnsembleMember:
    recipe = loaded.bundle.recipe
    pipeline = fit_batch(
        SlicePipeline.for_scan(recipe, volume.geometry),
        recipe,
        backend=loaded.execution.backend,
        memory_gb=memory_gb,
    )
    return EnsembleMember(pipeline, _normalizations(loaded), loaded.predictor)


def _normalizations(loaded: LoadedBundle) -> tuple[Normalization, ...]:
    return tuple(channel.normalization for channel in loaded.bundle.recipe.channels)
