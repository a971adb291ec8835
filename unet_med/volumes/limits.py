"""How much a file may claim to hold, checked from its header before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING

from unet_med.errors import InputError, VolumeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unet_med.volumes.volume import Volume

MAX_VOXELS = 1 << 33
"""Most voxels of one scan, channels included: 16 GB of int16."""

MAX_PLANE_VOXELS = 1 << 28
"""Most voxels in one plane (i, j), (i, k) or (j, k): 16384 × 16384, a gigabyte of float32.

Memory is a function of the plane, never of the number of planes.
"""

MAX_SCAN_RATIO = 250.0
"""A scan of more than `RATIO_MIN_BYTES` that unpacks to more than this many times its file is
taken for a decompression bomb. Noise keeps scans below 10, scans with half of their voxels blank
below 20; masks reach deflate's own limit of about 1030 and are not held to this.
"""

RATIO_MIN_BYTES = 1 << 28
"""Smaller volumes may be as blank as they like."""

DICOM_MODALITIES = {"CT", "MR", "PT", "NM", "US", "XA"}
"""Modalities of recipes that are also DICOM's words."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limit what the header of a volume may claim.

    Attributes:
        max_voxels: Most voxels, over all channels.
        max_compression_ratio: Most unpacked bytes per byte of a file of more than
            `RATIO_MIN_BYTES`.

    Example:
        >>> Limits(max_voxels=1000).max_voxels, Limits.for_scans(None).max_compression_ratio
        (1000, 250.0)
    """

    max_voxels: int = MAX_VOXELS
    max_compression_ratio: float = float("inf")

    def __post_init__(self) -> None:
        if self.max_voxels < 1:
            msg = f"max_voxels must be 1 or more, got {self.max_voxels}"
            raise InputError(msg)

    @classmethod
    def for_scans(cls, max_voxels: int | None) -> Limits:
        """Return the limits for scans; None = the default number of voxels."""
        return cls(MAX_VOXELS if max_voxels is None else max_voxels, MAX_SCAN_RATIO)

    def check(self, volume: Volume) -> None:
        """Refuse a volume that claims too much; only its header is looked at.

        Raises:
            VolumeError: It has too many voxels, a plane too large, or a compressed file that
                unpacks to an absurd size.
        """
        shape = volume.geometry.shape
        n_voxels = prod(shape) * volume.n_channels
        if n_voxels > self.max_voxels:
            msg = (
                f"{volume.name} says it holds {n_voxels} voxels, the limit is {self.max_voxels}: "
                "check its header, or raise the limit (--max-voxels)"
            )
            raise VolumeError(msg)
        plane = prod(sorted(shape)[1:])
        if plane > max(MAX_PLANE_VOXELS, self.max_voxels // 32):
            msg = f"{volume.name} has planes of {plane} voxels, too large to hold; check its header"
            raise VolumeError(msg)
        self._check_ratio(volume, n_voxels * volume.stored_dtype.itemsize)

    def _check_ratio(self, volume: Volume, n_bytes: int) -> None:
        if volume.path is None or n_bytes <= RATIO_MIN_BYTES or not volume.path.is_file():
            return
        found = max(volume.path.stat().st_size, 1)
        if volume.path.suffix.lower() == ".gz" and n_bytes / found > self.max_compression_ratio:
            msg = (
                f"{volume.path} would unpack to {n_bytes // found} times its size, as no scan "
                "does: unpack it by hand if it is one"
            )
            raise VolumeError(msg)


@dataclass(frozen=True, slots=True)
class SeriesSelection:
    """Select a series of a DICOM folder.

    Attributes:
        query: A series number, a series instance UID, or a pattern such as ``*T1*`` that the
            series description or protocol name must match, in any case; None = the only one
            that can be meant.
        modality: ``CT``, ``MR``, …, as the recipe states; None = any.
        keep_identifiers: Whether who and what was scanned may go into a mask's sidecar.

    Example:
        >>> SeriesSelection(query="*t1*", modality="MR").query
        '*t1*'
    """

    query: str | None = None
    modality: str | None = None
    keep_identifiers: bool = False


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Choose how scans are read.

    Attributes:
        limits: What their headers may claim.
        series: Which series of a DICOM folder is meant.

    Example:
        >>> ReadOptions().for_modalities(["ct", "CT"]).series.modality
        'CT'
    """

    limits: Limits = field(default_factory=lambda: Limits.for_scans(None))
    series: SeriesSelection = field(default_factory=SeriesSelection)

    def for_modalities(self, modalities: Iterable[str]) -> ReadOptions:
        """Return the options for a recipe's channels: where they are of one kind, only that."""
        kinds = {modality.upper() for modality in modalities} & DICOM_MODALITIES
        if len(kinds) != 1 or self.series.modality is not None:
            return self
        return replace(self, series=replace(self.series, modality=kinds.pop()))
