"""Compute the statistics of a case in one pass: what checks and plans need to know of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from unet_med.cases.label_stats import PLANES_AXIS, LabelCounter, LabelStats
from unet_med.errors import LabelError, UnetMedError, VolumeError
from unet_med.geometry import Geometry, grid_difference, world_axes
from unet_med.metrics import integer_labels
from unet_med.preprocessing import IntensityStatistics
from unet_med.volumes import open_volume, stack_volumes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unet_med.cases.case import LabeledCase
    from unet_med.volumes import Volume

SLAB_VOXELS = 1 << 20
"""Voxels of a channel that are read at a time."""

LOW_PERCENT, HIGH_PERCENT = 1.0, 99.0
"""Percentiles of a whole scan that are kept: those that a recipe's fingerprint bounds."""


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """Intensity statistics of one channel of a case, over all finite voxels.

    Attributes:
        minimum, maximum, mean, std: Over all finite voxels, scan units.
        low, median, high: Percentiles 1, 50 and 99.
        zero_share: Share of the finite voxels that are exactly 0.
        n_nonfinite: Voxels that are NaN or infinite.
        dtype: Type as stored.

    Example:
        >>> channel = ChannelStats(0.0, 9.0, 4.0, 2.0, 0.0, 4.0, 9.0, 0.5, 0, "int16")
        >>> channel.median
        4.0
    """

    minimum: float
    maximum: float
    mean: float
    std: float
    low: float
    median: float
    high: float
    zero_share: float
    n_nonfinite: int
    dtype: str


@dataclass(frozen=True, slots=True)
class CaseStats:
    """Statistics of one case, as the data analyzer of MONAI's Auto3DSeg collects them.

    Attributes:
        id: The case.
        problem: Why it cannot be used; the rest is then partly empty.
        shape, spacing_mm: Of the array axes.
        world: World axis (0 right, 1 anterior, 2 superior) of each array axis.
        geometry: The grid.
        channels: One per channel.
        labels: Label value → what was found, without 0.
        labeled: The same for all of them together, the ignored value left out.
        chords_mm: Per array axis, how far a line runs in one label, on average; None = none is
            there. The ignored value is none.
        n_background: Voxels of value 0.
        foreground: Intensities where the label is not 0, per channel.
        image_digest, label_digest: SHA-256 of shape and voxel values.
        warnings: What the files' readers say.

    Example:
        >>> CaseStats("p1", problem="its file is damaged").problem
        'its file is damaged'
    """

    id: str
    problem: str | None = None
    shape: tuple[int, int, int] = (0, 0, 0)
    spacing_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    world: tuple[int, int, int] = (0, 1, 2)
    geometry: Geometry | None = None
    channels: tuple[ChannelStats, ...] = ()
    labels: dict[int, LabelStats] = field(default_factory=dict)
    labeled: LabelStats | None = None
    chords_mm: tuple[float, float, float] | None = None
    n_background: int = 0
    foreground: tuple[IntensityStatistics, ...] = ()
    image_digest: str = ""
    label_digest: str = ""
    warnings: tuple[str, ...] = ()


def analyze_case(case: LabeledCase, *, ignore: int | None = None) -> CaseStats:
    """Read a case once, a few planes at a time.

    Args:
        case: Its files.
        ignore: Label value that marks voxels nobody labeled; they are left out of
            ``foreground``, ``labeled`` and ``chords_mm``.

    Returns:
        What was found; a case that cannot be read has a ``problem`` and raises nothing.
    """
    try:
        scan = stack_volumes([open_volume(path) for path in case.images])
        labels = open_volume(case.label)
        _check_pair(scan, labels)
        return _analyze(case.id, scan, labels, ignore)
    except (UnetMedError, OSError) as exc:
        return CaseStats(case.id, problem=" ".join(str(exc).split()))
    except MemoryError:
        return CaseStats(case.id, problem="its slices do not fit into memory")


def _check_pair(scan: Volume, labels: Volume) -> None:
    if labels.n_channels != 1:
        msg = (
            f"the label map {labels.name} has {labels.n_channels} channels; a label map has one: "
            "save it as one map of values"
        )
        raise LabelError(msg)
    difference = grid_difference(scan.geometry, labels.geometry)
    if difference:
        msg = f"scan and label map are on different grids: {difference}; resample one of them"
        raise VolumeError(msg)


@dataclass(slots=True)
class _Reading:
    """What is gathered while slabs go by."""

    everything: list[IntensityStatistics]
    inside: list[IntensityStatistics]
    counter: LabelCounter
    image_digest: hashlib._Hash
    label_digest: hashlib._Hash


def _analyze(name: str, scan: Volume, labels: Volume, ignore: int | None) -> CaseStats:
    geometry = scan.geometry
    shape = repr(geometry.shape).encode()
    reading = _Reading(
        [IntensityStatistics() for _ in range(scan.n_channels)],
        [IntensityStatistics() for _ in range(scan.n_channels)],
        LabelCounter(geometry.shape, ignore=ignore),
        hashlib.sha256(shape),
        hashlib.sha256(shape),
    )
    for start, stop in _slabs(geometry):
        _read(scan, labels, (start, stop), reading, ignore)
    if not all(statistics.n_voxels for statistics in reading.everything):
        msg = f"{scan.name} has no finite voxel"
        raise VolumeError(msg)
    dtype = str(scan.stored_dtype)
    return CaseStats(
        id=name,
        shape=geometry.shape,
        spacing_mm=geometry.spacing_mm,
        world=world_axes(geometry.voxel_to_world)[0],
        geometry=geometry,
        channels=tuple(_channel(statistics, dtype) for statistics in reading.everything),
        labels=reading.counter.stats(geometry),
        labeled=reading.counter.union(geometry),
        chords_mm=reading.counter.chords_mm(geometry),
        n_background=reading.counter.n_background,
        foreground=tuple(reading.inside),
        image_digest=reading.image_digest.hexdigest(),
        label_digest=reading.label_digest.hexdigest(),
        warnings=tuple(dict.fromkeys((*scan.warnings, *labels.warnings))),
    )


def _slabs(geometry: Geometry) -> Iterator[tuple[int, int]]:
    rows, columns, n_planes = geometry.shape
    step = max(1, SLAB_VOXELS // (rows * columns))
    for start in range(0, n_planes, step):
        yield start, min(start + step, n_planes)


def _read(
    scan: Volume, labels: Volume, at: tuple[int, int], reading: _Reading, ignore: int | None
) -> None:
    voxels = scan.read(*at, axis=PLANES_AXIS)
    values = integer_labels(labels.read(*at, axis=PLANES_AXIS)[0], name=f"label map {labels.name}")
    inside = reading.counter.add(values, start=at[0])
    if ignore is not None:
        inside = inside & (values != ignore)
    for channel, (everything, within) in enumerate(
        zip(reading.everything, reading.inside, strict=True)
    ):
        for plane in range(voxels.shape[-1]):
            everything.add(voxels[channel, :, :, plane])
        within.add(voxels[channel][inside])
    # Planes one after the other, so that the digest does not depend on the size of a slab.
    for plane in range(voxels.shape[-1]):
        reading.image_digest.update(np.ascontiguousarray(voxels[..., plane]).data)
        reading.label_digest.update(np.ascontiguousarray(values[..., plane], np.int64).data)


def _channel(statistics: IntensityStatistics, dtype: str) -> ChannelStats:
    low, median, high = (statistics.percentile(p) for p in (LOW_PERCENT, 50.0, HIGH_PERCENT))
    try:
        whole = statistics.region("all")
        ends, mean, std = (whole.minimum, whole.maximum), whole.mean, whole.std
    except VolumeError:  # all voxels are equal: said by the checks
        ends, mean, std = (median, median), median, 0.0
    zeros = statistics.n_zero / statistics.n_voxels
    n_nonfinite = statistics.n_nonfinite
    return ChannelStats(*ends, mean, std, low, median, high, zeros, n_nonfinite, dtype)
