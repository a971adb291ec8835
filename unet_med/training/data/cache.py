"""Every case read once: normalized, resampled slices on disk, mapped into memory.

The steps are those of inference (`VolumeSlices`, `SlicePipeline`): the same orientation,
whole-volume statistics, normalization and in-plane resampling. Context is stacked when a slice
is drawn, so each slice is stored once.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med._files import PARTIAL_PREFIX
from unet_med.errors import GeometryError, InputError, OutputError
from unet_med.geometry import grid_difference
from unet_med.inference import SlicePipeline, VolumeSlices, volume_statistics
from unet_med.training.target_encoding import IGNORE_INDEX, TargetEncoding
from unet_med.volumes import InputFiles, Volume, open_volume, stack_volumes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.preprocessing import InPlaneResampler
    from unet_med.recipe import Recipe
    from unet_med.training.plan import TrainingCase

FORMAT = "1"
"""Part of every key: raised when files of an earlier version must not be used."""

HALF_LIMIT = 60000.0
"""Normalized values beyond are cut: float16 ends at 65504."""

_SLAB_PIXELS = 1 << 21


@dataclass(frozen=True)
class CachedCase:
    """Hold one preprocessed case to draw patches from.

    Attributes:
        id: The case's id.
        images: (n, C, H, W) float16, at the network's spacing, in the file's own slice order.
        codes: (n, H, W) uint8, see `TargetEncoding`.
        counts: (n, codes) int64: pixels per slice and code, `IGNORE_INDEX` left out.
        offsets: Context slices in this order.
    """

    id: str
    images: NDArray[np.float16]
    codes: NDArray[np.uint8]
    counts: NDArray[np.int64]
    offsets: tuple[int, ...]

    @property
    def n_slices(self) -> int:
        """How many slices there are."""
        return int(self.codes.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.codes.shape[1]), int(self.codes.shape[2])


@dataclass(frozen=True)
class SliceCache:
    """Keep preprocessed cases in a folder, one sub-folder each, named by content and recipe.

    Several processes may use one folder: a case appears whole, by a rename, and whoever comes
    second throws its own copy away.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import nibabel as nib
        >>> from unet_med.bundle import default_bundle
        >>> from unet_med.recipe import Recipe
        >>> from unet_med.training.plan import TrainingCase, TrainingPlan
        >>> recipe = Recipe.load(default_bundle() / "configs/recipe.json")
        >>> case = TrainingCase("a", ("scan.nii",), "labels.nii", "patient")
        >>> encoding = TargetEncoding.from_recipe(recipe, TrainingPlan((case,), steps=1))
        >>> voxels = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
        >>> with tempfile.TemporaryDirectory() as name:
        ...     root = Path(name)
        ...     nib.save(nib.Nifti1Image(voxels, np.eye(4)), root / "scan.nii")
        ...     nib.save(nib.Nifti1Image(voxels // 20, np.eye(4)), root / "labels.nii")
        ...     cached = SliceCache(root / "cache", recipe, encoding).open(case, root=root)
        ...     print(cached.images.shape, cached.codes.dtype)
        (5, 1, 4, 3) uint8
    """

    folder: Path
    recipe: Recipe
    encoding: TargetEncoding

    def open(self, case: TrainingCase, *, root: Path) -> CachedCase:
        """Return a case, after reading it if it is not in the folder yet.

        Args:
            case: What to read.
            root: Folder that relative paths are meant from.

        Raises:
            InputError, VolumeError, GeometryError, LabelError: The case cannot be used.
            OutputError: The folder cannot be written, or the disk is full.
        """
        paths = [root / path for path in case.images]
        label = root / case.label
        for path in (*paths, label):
            if not path.exists():
                msg = f"case {case.id}: there is no {path}; name it anew in the plan"
                raise InputError(msg)
        target = self.folder / self._key(paths, label)
        if not (target / "case.json").is_file():
            self._write(target, open_scan(paths), open_volume(label))
        return _mapped(case.id, target)

    def _key(self, paths: list[Path], label: Path) -> str:
        parts = {
            "format": FORMAT,
            "files": InputFiles.digest([*paths, label]).sha256,
            "channels": [asdict(channel.normalization) for channel in self.recipe.channels],
            "axis": self.recipe.slice_axis,
            "spacing": self.recipe.in_plane_spacing_mm,
            "context": asdict(self.recipe.context),
            "values": self.encoding.values,
            "ignore": self.encoding.ignore_label,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    def _write(self, target: Path, scan: Volume, label: Volume) -> None:
        partial = target.with_name(f"{PARTIAL_PREFIX}{uuid.uuid4().hex}")
        try:
            self._check(scan, label)
            partial.mkdir(parents=True)
            self._fill(partial, scan, label)
            os.replace(partial, target)  # noqa: PTH105 - says that a folder moves
        except OSError as exc:
            if (target / "case.json").is_file():  # another process was faster
                return
            msg = (
                f"cannot write the slice cache {self.folder}: {exc.strerror or exc}; make space, "
                "or name another folder with --cache"
            )
            raise OutputError(msg) from exc
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _check(self, scan: Volume, label: Volume) -> None:
        if scan.n_channels != len(self.recipe.channels):
            msg = (
                f"{scan.name} has {scan.n_channels} channels, the recipe wants "
                f"{len(self.recipe.channels)}: give one file per channel, or one 4D file"
            )
            raise InputError(msg)
        if difference := grid_difference(label.geometry, scan.geometry):
            msg = f"{label.name} is not on the grid of {scan.name}: {difference}; resample it first"
            raise GeometryError(msg)

    def _fill(self, folder: Path, scan: Volume, label: Volume) -> None:
        """Write the arrays slab by slab: memory does not grow with the scan."""
        pipeline = SlicePipeline.for_scan(self.recipe, scan.geometry)
        rules = tuple(channel.normalization for channel in self.recipe.channels)
        source = VolumeSlices(scan, pipeline.layout, rules, volume_statistics(scan))
        n_slices, n_channels = source.n_slices, len(rules)
        rows, columns = pipeline.resampler.network_shape
        _refuse_full_disk(folder, n_slices * rows * columns * (2 * n_channels + 1))
        images = _create(folder / "images.npy", np.float16, (n_slices, n_channels, rows, columns))
        codes = _create(folder / "codes.npy", np.uint8, (n_slices, rows, columns))
        counts = np.zeros((n_slices, self.encoding.n_codes), np.int64)
        step = max(1, _SLAB_PIXELS // (n_channels * math.prod(scan.geometry.shape) // n_slices))
        for start in range(0, n_slices, step):
            stop = min(start + step, n_slices)
            slices = pipeline.resampler.to_network(source.read(start, stop))
            images[start:stop] = np.clip(slices, -HALF_LIMIT, HALF_LIMIT)
            slab = label.read(start, stop, axis=pipeline.layout.slice_axis)[0]
            native = self.encoding.encode(pipeline.layout.to_slices(slab), name=label.name)
            for index, plane in enumerate(native, start=start):
                codes[index] = resample_codes(plane, pipeline.resampler)
                found = np.bincount(codes[index].ravel(), minlength=IGNORE_INDEX + 1)
                counts[index] = found[: self.encoding.n_codes]
        images.flush()
        codes.flush()
        np.save(folder / "counts.npy", counts)
        (folder / "case.json").write_text(json.dumps({"offsets": pipeline.offsets}))


def open_scan(paths: list[Path]) -> Volume:
    """Open one path per channel, or one 4D file, as one volume."""
    return stack_volumes([open_volume(path) for path in paths])


def resample_codes(plane: NDArray[np.uint8], resampler: InPlaneResampler) -> NDArray[np.uint8]:
    """Return the codes (H, W) of a slice at the network's spacing, (H', W').

    Each code's mask is resampled as intensities are, and the largest share wins: a pixel of the
    coarser grid gets what most of it is, where the nearest neighbor would take what lies in its
    middle and break thin structures. Equal shares go to the lower code.
    """
    if plane.shape == resampler.network_shape:
        return plane
    present = np.flatnonzero(np.bincount(plane.ravel(), minlength=IGNORE_INDEX + 1))
    result = np.full(resampler.network_shape, present[0], np.uint8)
    best = np.zeros(resampler.network_shape, np.float32)
    for code in present if len(present) > 1 else ():
        share = resampler.to_network((plane == code).astype(np.float32))
        wins = share > best
        result[wins] = code
        best[wins] = share[wins]
    return result


def _create(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap[Any, Any]:  # noqa: ANN401
    """Map a new file whose disk space is taken already: others may fill the disk, or a quota end.

    Writing to mapped pages without disk behind them would kill the process.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):  # Linux
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _refuse_full_disk(folder: Path, needed: int) -> None:
    """Refuse in figures what would not fit."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        msg = f"{needed / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free"
        raise OSError(None, msg)


def _mapped(case_id: str, folder: Path) -> CachedCase:
    described = json.loads((folder / "case.json").read_text())
    return CachedCase(
        id=case_id,
        images=np.load(folder / "images.npy", mmap_mode="r"),
        codes=np.load(folder / "codes.npy", mmap_mode="r"),
        counts=np.load(folder / "counts.npy"),
        offsets=tuple(described["offsets"]),
    )
