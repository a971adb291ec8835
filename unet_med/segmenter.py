"""One case end to end: scan in, labels with proven geometry out."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med import backends
from unet_med.bundle import open_bundle
from unet_med.errors import InputError
from unet_med.geometry import slice_layout
from unet_med.inference import (
    SlicePipeline,
    VolumeSlices,
    iter_labels,
    label_dtype,
    volume_statistics,
)
from unet_med.volumes import (
    Volume,
    array_volume,
    from_nibabel,
    from_sitk,
    mask_image,
    open_volume,
    stack_volumes,
    to_sitk,
    write_mask,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import nibabel as nib

    from unet_med.backends import Execution, SlicePredictor
    from unet_med.bundle import Bundle
    from unet_med.geometry import Geometry
    from unet_med.recipe import Recipe

MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class Segmentation:
    """The labels of one case and what is known about them.

    Attributes:
        labels: Label values (i, j, k) in the scan's own array order, smallest unsigned dtype.
        volume: The scan they belong to; its header is the mask's header.
        label_names: Label value to name.
        seconds: Seconds per stage: statistics, slices (reading, network and labels).
        nonfinite_voxels: NaN and infinite voxels of the scan, over all channels.
        warnings: What a reader should know, in plain words.
    """

    labels: np.ndarray
    volume: Volume
    label_names: dict[int, str]
    seconds: dict[str, float] = field(default_factory=dict)
    nonfinite_voxels: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def geometry(self) -> Geometry:
        """Grid of scan and labels."""
        return self.volume.geometry

    @property
    def volumes_ml(self) -> dict[str, float]:
        """Volume per label name in millilitres."""
        voxel_ml = abs(np.linalg.det(self.geometry.voxel_to_world[:3, :3])) / MM3_PER_ML
        return {
            name: float(np.count_nonzero(self.labels == value) * voxel_ml)
            for value, name in self.label_names.items()
        }

    def save(self, path: Path | str) -> None:
        """Write the mask; its header is read back and proven equal to the scan's.

        Raises:
            OutputError: The file cannot be written.
            GeometryError: The header read back differs.
        """
        write_mask(self.labels, Path(path), like=self.volume, label_names=self.label_names)

    def to_nibabel(self) -> nib.Nifti1Image:
        """Return the mask as a nibabel image with the scan's header."""
        return mask_image(self.labels, like=self.volume, label_names=self.label_names)

    def to_sitk(self) -> Any:  # noqa: ANN401 - SimpleITK is an extra and untyped
        """Return the mask as a SimpleITK image; needs the extra ``itk``.

        Raises:
            GeometryError: The scan's axes are not orthonormal, which ITK cannot express.
        """
        return to_sitk(self.labels, self.geometry)


@dataclass(frozen=True)
class Segmenter:
    """A bundle loaded once, ready for many scans.

    Attributes:
        bundle: The opened bundle.
        execution: How the network is run, resolved.
        predictor: The network in its backend.
    """

    bundle: Bundle
    execution: Execution
    predictor: SlicePredictor

    @property
    def recipe(self) -> Recipe:
        """The bundle's recipe."""
        return self.bundle.recipe

    def segment(
        self,
        source: Any,  # noqa: ANN401 - one of the kinds below
        *,
        channel: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Segmentation:
        """Segment one case.

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
        seconds: dict[str, float] = {}
        with _timed(seconds, "open"):
            volume = _as_volume(source, channel)
            _check_channels(volume, self.recipe)
        with _timed(seconds, "statistics"):
            statistics = volume_statistics(volume)
            for counted, rule in zip(statistics, self.recipe.channels, strict=True):
                counted.region(rule.normalisation.region)  # fails before any slice is run
        layout = slice_layout(volume.geometry, self.recipe.slice_axis)
        rules = tuple(rule.normalisation for rule in self.recipe.channels)
        slices = VolumeSlices(volume, layout, rules, statistics)
        pipeline = SlicePipeline.for_scan(self.recipe, volume.geometry, layout)
        with _timed(seconds, "slices"):
            labels = np.zeros(volume.geometry.shape, label_dtype(tuple(self.recipe.labels)))
            view = layout.to_slices(labels)
            for start, part in iter_labels(slices, pipeline, self.predictor, recipe=self.recipe):
                view[start : start + len(part)] = part
                if progress is not None:
                    progress(start + len(part), len(view))
        nonfinite = sum(counted.n_nonfinite for counted in statistics)
        return Segmentation(
            labels=labels,
            volume=volume,
            label_names=dict(self.recipe.labels),
            seconds=seconds,
            nonfinite_voxels=nonfinite,
            warnings=_warnings(volume, nonfinite),
        )


def load_segmenter(
    bundle: Path | str | None = None,
    *,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Segmenter:
    """Open a bundle and load its network.

    Args:
        bundle: Bundle folder; ``None`` = the one that comes with the program.
        device: ``auto``, ``cpu`` or ``cuda``.
        backend: ``auto`` or a backend's name.
        precision: ``auto``, ``fp32``, ``bf16`` or ``int8``.
        threads: CPU threads of the network; ``None`` = the processors of this process.

    Returns:
        The segmenter, ready for use.

    Raises:
        BundleError, RecipeError, WeightsError: The bundle cannot be used.
        InputError: An option cannot be met.
    """
    opened = open_bundle(bundle)
    execution = backends.resolve(
        opened.recipe,
        weights=opened.weights_path,
        backend=backend,
        precision=precision,
        device=device,
        threads=threads,
    )
    predictor = backends.open_predictor(opened.recipe, opened.weights_path, execution)
    return Segmenter(opened, execution, predictor)


def _as_volume(source: Any, channel: int | None) -> Volume:  # noqa: ANN401 - see segment
    if isinstance(source, str | Path):
        return open_volume(Path(source), channel=channel)
    if isinstance(source, list):
        if not source:
            msg = "an empty list holds no channel: give one path or image per channel"
            raise InputError(msg)
        return stack_volumes([_as_volume(part, channel) for part in source])
    if isinstance(source, tuple) and len(source) == 2:  # noqa: PLR2004 - (array, affine)
        return array_volume(np.asarray(source[0]), np.asarray(source[1]))
    return _image_volume(source)


def _image_volume(source: Any) -> Volume:  # noqa: ANN401 - see segment
    library = type(source).__module__.partition(".")[0]
    if library == "SimpleITK":
        return from_sitk(source)
    if library == "nibabel":
        return from_nibabel(source)
    if hasattr(source, "geometry") and hasattr(source, "read"):
        volume: Volume = source
        return volume
    msg = (
        f"cannot segment a {type(source).__name__}: give a path, a nibabel or SimpleITK image, "
        "(array, affine), or a list of these, one per channel"
    )
    raise InputError(msg)


def _check_channels(volume: Volume, recipe: Recipe) -> None:
    expected = len(recipe.channels)
    if volume.n_channels == expected:
        return
    names = ", ".join(channel.name for channel in recipe.channels)
    advice = "pick one with --channel N" if expected == 1 else "give one scan per channel"
    msg = (
        f"{volume.name} has {volume.n_channels} channels, the recipe wants {expected} "
        f"({names}): {advice}"
    )
    raise InputError(msg)


def _warnings(volume: Volume, nonfinite_voxels: int) -> tuple[str, ...]:
    found = list(getattr(volume, "warnings", ()))
    if nonfinite_voxels:
        found.append(
            f"{nonfinite_voxels} voxels are NaN or infinite and were taken as the smallest value"
        )
    return tuple(found)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
