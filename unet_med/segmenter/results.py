"""What is known of a segmented case, and its labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.volumes import MaskNotes, Volume, mask_image, to_sitk, write_labels, write_mask

if TYPE_CHECKING:
    from collections.abc import Mapping

    import nibabel as nib

    from unet_med.geometry import Geometry
    from unet_med.inference import PostprocessingReport
    from unet_med.quality import Quality
    from unet_med.volumes import MaskProvenance


@dataclass(frozen=True)
class CaseFacts:
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
        label_codes: Code, scheme and meaning per label value, where the recipe states them.
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
    label_codes: dict[int, tuple[str, str, str]] = field(default_factory=dict)
    postprocessing: PostprocessingReport | None = None
    quality: Quality | None = None

    @property
    def geometry(self) -> Geometry:
        """Grid of scan and labels."""
        return self.volume.geometry


@dataclass(frozen=True)
class Segmentation(CaseFacts):
    """The labels of one case and what is known about them.

    Attributes:
        labels: Label values (i, j, k) in the scan's own array order, smallest unsigned dtype.
    """

    labels: np.ndarray = field(kw_only=True)

    def save(self, path: Path | str) -> None:
        """Write the mask; its header is read back and proven equal to the scan's.

        Args:
            path: The target; its ending says the format, .nii.gz, .nii or one of
                ``unet_med.volumes.WRITERS``.

        Raises:
            OutputError: The file cannot be written.
            GeometryError: The header read back differs.
        """
        if not str(path).lower().endswith((".nii", ".nii.gz")):
            notes = MaskNotes(self.label_names, self.provenance, self.label_codes)
            dtype = np.dtype(np.min_scalar_type(max(*self.label_names, int(self.labels.max()))))
            write_labels([self.labels], Path(path), like=self.volume, dtype=dtype, notes=notes)
            return
        write_mask(self.labels, Path(path), like=self.volume, **self._notes())

    def to_nibabel(self) -> nib.Nifti1Image:
        """Return the mask as a nibabel image with the scan's header."""
        return mask_image(self.labels, like=self.volume, **self._notes())

    def to_sitk(self) -> Any:  # noqa: ANN401 - SimpleITK is an extra and untyped
        """Return the mask as a SimpleITK image; needs the extra ``itk``.

        Raises:
            GeometryError: The scan's axes are not orthonormal, which ITK cannot express.
        """
        return to_sitk(self.labels, self.geometry)

    def _notes(self) -> dict[str, Any]:
        return {"label_names": self.label_names, "provenance": self.provenance}


class VoxelCount:
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
