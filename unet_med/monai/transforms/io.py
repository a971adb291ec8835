"""Load volumes into MetaTensors; save masks with the scan's header, verified."""

from __future__ import annotations

import json
import logging
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from monai.utils import MetaKeys, SpaceKeys, TransformBackends, convert_to_numpy

from unet_med._files import real_path
from unet_med._parsing import parse_bool
from unet_med.errors import GeometryError, InputError, LabelError, OutputError
from unet_med.geometry import Geometry, grid_difference
from unet_med.monai.meta_tensor import ras_affine
from unet_med.monai.plain_mapping import from_mapping
from unet_med.volumes import (
    MaskProvenance,
    ReadOptions,
    SeriesSelection,
    digest_inputs,
    open_volume,
    stack_volumes,
    volume_ending,
    write_mask,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from unet_med.volumes import Volume

logger = logging.getLogger(__name__)


INPUTS_KEY = "unet_med_inputs"
"""Meta data key of all files of a scan, in channel order, as a JSON list."""


MODALITY_KEY = "unet_med_modality"
"""Meta data key of the modality by which a series was chosen of a DICOM folder; empty = none."""


AnyPath = str | PathLike[str]


class LoadVolume(Transform):  # type: ignore[misc]  # MONAI is untyped
    """Load a scan or a mask as (C, i, j, k) float32 in the file's own order.

    The ``MetaTensor`` carries the affine (RAS+ mm) and, as ``filename_or_obj``, the path of the
    file whose header a mask copies: the only one, or the first of several channels. A 2D file
    has one slice. The channel axis is in front already: ``EnsureChannelFirst`` is not needed.

    Args:
        channel: Take only this channel or frame of a 4D file, counted from 0.
        n_channels: How many channels there must be; ``None`` = any. So a 4D file cannot pass
            its frames off as channels.
        modalities: Of the recipe's channels: of a DICOM folder the series of that modality is
            taken, and any other refused, as on the command line.

    Example:
        >>> from unet_med.bundle import demo_data
        >>> volume = LoadVolume(n_channels=1)(next((demo_data() / "images").glob("*.nii.gz")))
        >>> volume.dtype, volume.affine.shape
        (torch.float32, torch.Size([4, 4]))
    """

    backend: ClassVar = [TransformBackends.NUMPY]

    def __init__(
        self,
        *,
        channel: int | None = None,
        n_channels: int | None = None,
        modalities: Sequence[str] = (),
    ) -> None:
        self.channel = channel
        self.n_channels = n_channels
        self.series = ReadOptions().for_modalities(modalities).series
        self._warned: set[str] = set()

    def __call__(self, source: AnyPath | Sequence[AnyPath]) -> MetaTensor:
        """Load a file, or one file per channel.

        Raises:
            VolumeError: A file cannot be read.
            GeometryError: The channels' grids differ.
            InputError: The number of channels is not the one expected.
        """
        paths = [source] if isinstance(source, str | PathLike) else source
        volume = stack_volumes(
            [open_volume(path, channel=self.channel, series=self.series) for path in paths]
        )
        if self.n_channels not in (None, volume.n_channels):
            msg = (
                f"{volume.name} has {volume.n_channels} channels, expected {self.n_channels}: "
                "give one file per channel, or pick one with channel"
            )
            raise InputError(msg)
        self._warn([f"{volume.name}: {warning}" for warning in volume.warnings])
        shape = volume.geometry.shape
        affine = torch.from_numpy(volume.geometry.voxel_to_world.copy())
        meta = {
            MetaKeys.ORIGINAL_AFFINE: affine.clone(),
            MetaKeys.ORIGINAL_CHANNEL_DIM: 0,
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.SPATIAL_SHAPE: torch.tensor(shape),
            "filename_or_obj": str(paths[0]),
            INPUTS_KEY: json.dumps([str(path) for path in paths]),
            MODALITY_KEY: self.series.modality or "",
        }
        voxels = torch.from_numpy(volume.read(0, shape[2], axis=2))
        return MetaTensor(voxels, affine=affine, meta=meta)

    def _warn(self, texts: Sequence[str]) -> None:
        """Log each warning once: a validation loads its cases again and again."""
        for text in texts:
            if text not in self._warned:
                logger.warning("%s", text)
        self._warned.update(texts)


def reopen_volume(meta: Mapping[str, Any]) -> Volume:
    """Open again the file whose header `LoadVolume` took.

    Args:
        meta: Meta data with ``filename_or_obj``.

    Raises:
        VolumeError: It cannot be read.
    """
    rule = SeriesSelection(modality=meta.get(MODALITY_KEY) or None)
    return open_volume(str(meta["filename_or_obj"]), series=rule)


MASK_ENDING = ".nii.gz"


class SaveMask(Transform):  # type: ignore[misc]  # MONAI is untyped
    """Write label maps to ``<output_dir>/<case>.nii.gz`` with their scan's header, verified.

    The scan is the file named by ``filename_or_obj`` in the meta data, as `LoadVolume` leaves
    it. Labels must lie on its grid, so transforms that move voxels are to be inverted first. The
    file appears whole or not at all, and replaces nothing unless that was asked for.

    Args:
        output_dir: Folder; made when missing.
        label_names: Name per label value; fixes the voxel type, and goes into the header.
        data_root_dir: Folder that cases are named relative to; ``None`` = by the bare file name.
        overwrite: Replace masks of earlier runs. Two scans of one run never share a mask.
        provenance: How the labels were made, or a mapping of the fields of `MaskProvenance`;
            goes into the header with the scan's digest.

    Raises:
        InputError: ``overwrite`` is no truth value, or a mapping is no provenance.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from unet_med.bundle import demo_data
        >>> scan = LoadVolume()(next((demo_data() / "images").glob("*.nii.gz")))
        >>> with TemporaryDirectory() as folder:
        ...     _ = SaveMask(folder, label_names={1: "bright"})(scan > scan.mean())
        ...     len(list(Path(folder).iterdir()))
        1
    """

    backend: ClassVar = [TransformBackends.NUMPY]

    def __init__(
        self,
        output_dir: str | PathLike[str],
        *,
        label_names: Mapping[int, str],
        data_root_dir: str | PathLike[str] | None = None,
        overwrite: bool | str = False,
        provenance: MaskProvenance | Mapping[str, Any] | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.label_names = {int(value): str(name) for value, name in label_names.items()}
        self.data_root_dir = None if data_root_dir is None else real_path(Path(data_root_dir))
        self.overwrite = parse_bool(overwrite, "overwrite")
        self.provenance = (
            None if provenance is None else from_mapping(MaskProvenance, provenance, "provenance")
        )
        self._scans: dict[Path, str] = {}

    def __call__(self, labels: torch.Tensor, *, case: str | None = None) -> torch.Tensor:
        """Write labels (1, i, j, k) and return them as they are.

        Args:
            labels: Label values with the scan's meta data.
            case: Relative folder and name of the mask, ``sub/a``; ``None`` = the scan's.

        Raises:
            InputError: The labels carry no scan, or the case leaves the folder.
            LabelError: The labels are no label map.
            GeometryError: The labels are not on the scan's grid.
            OutputError: The mask exists, or cannot be written.
        """
        meta = getattr(labels, "meta", {})
        scan = str(meta.get("filename_or_obj", ""))
        if not scan:
            msg = "the labels carry no filename_or_obj: load the scan with LoadVolume(d)"
            raise InputError(msg)
        like = reopen_volume(meta)
        voxels = _label_map(labels)
        _check_grid(labels, voxels, like)
        write_mask(
            voxels,
            self._target(scan, case),
            like=like,
            label_names=self.label_names,
            provenance=self._provenance(labels),
        )
        return labels

    def _provenance(self, labels: torch.Tensor) -> MaskProvenance | None:
        if self.provenance is None:
            return None
        meta = getattr(labels, "meta", {})
        inputs = json.loads(meta.get(INPUTS_KEY, "[]")) or [str(meta["filename_or_obj"])]
        return self.provenance.of(digest_inputs(inputs))

    def _target(self, scan: str, case: str | None) -> Path:
        name = PurePosixPath(case or self._case_of(Path(scan)))
        if name.is_absolute() or ".." in name.parts:
            msg = f"the case {case!r} leaves the output folder; name it below that"
            raise InputError(msg)
        target = self.output_dir / name.parent / f"{name.name}{MASK_ENDING}"
        if self._scans.setdefault(target, scan) != scan:
            msg = (
                f"{scan} and {self._scans[target]} would both be written as {target}; "
                "set data_root_dir"
            )
            raise OutputError(msg)
        if real_path(target) == real_path(Path(scan)):
            msg = f"the mask would replace the scan {scan}: choose another output folder"
            raise OutputError(msg)
        if target.exists() and not self.overwrite:
            msg = f"{target} exists: set overwrite to true, or choose another output folder"
            raise OutputError(msg)
        return target

    def _case_of(self, scan: Path) -> str:
        ending = volume_ending(scan) or ""
        bare = scan.with_name(scan.name[: len(scan.name) - len(ending)])
        if self.data_root_dir is None or not real_path(bare).is_relative_to(self.data_root_dir):
            return bare.name
        return real_path(bare).relative_to(self.data_root_dir).as_posix()


def _label_map(labels: torch.Tensor) -> NDArray[Any]:
    """Return (i, j, k) integers of (1, i, j, k) labels; floats must be whole."""
    voxels: NDArray[Any] = convert_to_numpy(labels)
    if voxels.ndim != 4 or voxels.shape[0] != 1:  # noqa: PLR2004 - 1, i, j, k
        msg = (
            f"labels have shape {voxels.shape}, not (1, i, j, k): make one label map of them, "
            "e.g. by AsDiscreted(argmax=True)"
        )
        raise LabelError(msg)
    if voxels.dtype.kind != "f":
        return np.asarray(voxels[0])
    whole = np.rint(voxels[0])
    if not np.array_equal(whole, voxels[0]):
        msg = "labels are no whole numbers: make labels of the logits before saving"
        raise LabelError(msg)
    return np.asarray(whole, np.int64)


def _check_grid(labels: torch.Tensor, voxels: NDArray[Any], like: Volume) -> None:
    affine = getattr(labels, "affine", None)
    if affine is None:
        return  # the shape is compared when the mask is made
    first, second, third = voxels.shape
    grid = Geometry((first, second, third), ras_affine(affine, getattr(labels, "meta", {})))
    if difference := grid_difference(like.geometry, grid):
        msg = (
            f"the labels are not on the grid of {like.name}: {difference}; invert transforms first"
        )
        raise GeometryError(msg)
