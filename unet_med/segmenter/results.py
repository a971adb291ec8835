"""What comes out of a case: labels, what is known of them, and maps of how sure the network is."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.errors import InputError
from unet_med.geometry import slice_layout
from unet_med.quality import label_indices
from unet_med.volumes import (
    MAP_KINDS,
    MapBuffer,
    MaskMetadata,
    Volume,
    mask_image,
    quantize_map,
    write_labels,
    write_map,
    write_mask,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import nibabel as nib
    from numpy.typing import NDArray

    from unet_med.geometry import Geometry, SliceLayout
    from unet_med.inference import PostprocessingReport
    from unet_med.quality import Quality
    from unet_med.volumes import MaskProvenance


_SHOWN = 6
"""Labels that a short description names."""

_PICTURE_PIXELS = 320
"""Longest side of the picture in a notebook."""

_COLORS = ((230, 75, 60), (60, 170, 230), (90, 200, 90), (240, 190, 50), (180, 100, 220))
"""Red, green and blue of labels, by value modulo their number."""


class CaseMaps:
    """Collects maps slice by slice and writes them, each with the scan's header verified.

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
            kind: MapBuffer(shape, count, axis=axis) for kind, count in n_maps.items()
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
            collected.add(self._layout.from_slices(quantize_map(values)[None]))

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


@dataclass(frozen=True)
class CaseReport:
    """What is known of a segmented case besides its labels.

    Attributes:
        volume: The scan; its header is the mask's header.
        label_names: Label value to name.
        volumes_ml: Volume per label name in milliliters.
        seconds: Seconds per stage: open, statistics, read, network, restore (logits back to the
            scan's grid), average (of an ensemble), labels, quality, postprocessing, write; stages
            overlap, ``total`` is what passed.
        nonfinite_voxels: NaN and infinite voxels of the scan, over all channels.
        warnings: What a reader should know, in plain words.
        provenance: How the labels were made.
        terminology: Code, scheme and meaning per label value, where the recipe states them.
        postprocessing: What the recipe's post-processing changed and cost; ``None`` without it.
        quality: How good the labels look, slice by slice, without a reference.
    """

    volume: Volume
    label_names: dict[int, str]
    volumes_ml: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict)
    nonfinite_voxels: int = 0
    warnings: tuple[str, ...] = ()
    provenance: MaskProvenance | None = None
    terminology: dict[int, tuple[str, str, str]] = field(default_factory=dict)
    postprocessing: PostprocessingReport | None = None
    quality: Quality | None = None

    @property
    def geometry(self) -> Geometry:
        """Grid of scan and labels."""
        return self.volume.geometry


@dataclass(frozen=True, repr=False)
class Segmentation(CaseReport):
    """The labels of one case and what is known about them.

    Attributes:
        labels: Label values (i, j, k) in the scan's own array order, smallest unsigned dtype.

    Example:
        >>> import unet_med
        >>> voxels = np.random.default_rng(0).normal(100, 20, (16, 12, 3)).astype(np.float32)
        >>> result = unet_med.load(backend="torch", threads=1).segment((voxels, np.eye(4)))
        >>> result.labels.shape, sorted(result.volumes_ml) == sorted(result.label_names.values())
        ((16, 12, 3), True)
    """

    labels: np.ndarray = field(kw_only=True)

    def __repr__(self) -> str:
        """Return the grid and the volumes of the first labels, in a few lines."""
        grid = " × ".join(map(str, self.labels.shape))
        spacing = " × ".join(f"{side:.3g}" for side in self.geometry.spacing_mm)
        found = [f"{name} {ml:.4g} ml" for name, ml in self.volumes_ml.items()]
        more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        return (
            f"Segmentation of {self.volume.name}: {grid} voxels of {spacing} mm\n"
            f"  {', '.join([*found[:_SHOWN], *more])}\n"
            f"  {len(self.warnings)} warnings"
        )

    def _repr_html_(self) -> str:
        """Return the same for a notebook, with a picture of the slice that holds most labels."""
        picture = base64.b64encode(_overlay_png(self)).decode()
        return (
            f'<img alt="labels on one slice" src="data:image/png;base64,{picture}">'
            f"<pre>{html.escape(repr(self))}</pre>"
        )

    def save(self, path: Path | str) -> None:
        """Write the mask; its header is read back and verified to equal the scan's.

        Args:
            path: The target; its ending says the format, .nii.gz, .nii or one of
                ``unet_med.volumes.WRITERS``.

        Raises:
            OutputError: The file cannot be written.
            GeometryError: The header read back differs.
        """
        if not str(path).lower().endswith((".nii", ".nii.gz")):
            notes = MaskMetadata(self.label_names, self.provenance, self.terminology)
            dtype = np.dtype(np.min_scalar_type(max(*self.label_names, int(self.labels.max()))))
            write_labels([self.labels], Path(path), like=self.volume, dtype=dtype, metadata=notes)
            return
        write_mask(self.labels, Path(path), like=self.volume, **self._notes())

    def to_nibabel(self) -> nib.Nifti1Image:
        """Return the mask as a nibabel image with the scan's header."""
        return mask_image(self.labels, like=self.volume, **self._notes())

    def to_sitk(self) -> Any:  # noqa: ANN401 - SimpleITK is untyped
        """Return the mask as a SimpleITK image.

        Raises:
            GeometryError: The scan's axes are not orthonormal, which ITK cannot express.
        """
        from unet_med.volumes.simpleitk import to_sitk

        return to_sitk(self.labels, self.geometry)

    def _notes(self) -> dict[str, Any]:
        return {"label_names": self.label_names, "provenance": self.provenance}


def _overlay_png(result: Segmentation) -> bytes:
    """Draw the first channel of the axial slice that holds most labels, and the labels on it."""
    from PIL import Image

    layout = slice_layout(result.geometry, "axial").in_file_order()
    masks = layout.to_slices(result.labels)
    index = int(np.argmax([np.count_nonzero(mask) for mask in masks]))
    slab = result.volume.read(index, index + 1, axis=layout.slice_axis)
    pixels = np.nan_to_num(layout.to_slices(slab)[0, 0], posinf=0.0, neginf=0.0)
    low, high = np.percentile(pixels, (1, 99))
    gray = np.clip((pixels - low) / max(high - low, 1e-6), 0, 1)[..., np.newaxis] * 255
    color = np.array(_COLORS)[masks[index].astype(np.intp) % len(_COLORS)]
    share = 0.45 * (masks[index] > 0)[..., np.newaxis]
    image = Image.fromarray((gray * (1 - share) + color * share).astype(np.uint8))
    image.thumbnail((_PICTURE_PIXELS, _PICTURE_PIXELS))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


class VoxelCounter:
    """Counts the voxels of each label as labels pass by."""

    def __init__(self, label_names: Mapping[int, str]) -> None:
        self._names = label_names
        self._voxels = dict.fromkeys(label_names, 0)

    def add(self, labels: np.ndarray) -> None:
        """Count the voxels of some slices."""
        for value in self._voxels:
            self._voxels[value] += int(np.count_nonzero(labels == value))

    def volumes_ml(self, geometry: Geometry) -> dict[str, float]:
        """Return the volume per label name in milliliters; labels of one name are added."""
        volumes = dict.fromkeys(self._names.values(), 0.0)
        for value, name in self._names.items():
            volumes[name] += self._voxels[value] * geometry.voxel_ml
        return volumes
