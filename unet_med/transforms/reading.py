"""Files into MetaTensors, through the reader that every door uses."""

from __future__ import annotations

import json
import logging
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from monai.utils import MetaKeys, SpaceKeys

from unet_med.errors import InputError
from unet_med.volumes import ReadRules, SeriesRule, open_volume, stack_volumes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    """

    def __init__(
        self,
        *,
        channel: int | None = None,
        n_channels: int | None = None,
        modalities: Sequence[str] = (),
    ) -> None:
        self.channel = channel
        self.n_channels = n_channels
        self.series = ReadRules().for_modalities(modalities).series
        self._said: set[str] = set()

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
        """Say each doubt once: a validation loads its cases again and again."""
        for text in texts:
            if text not in self._said:
                logger.warning("%s", text)
        self._said.update(texts)


def open_loaded(meta: Mapping[str, Any]) -> Volume:
    """Open the file that `LoadVolume` took its header of, once more.

    Args:
        meta: Meta data with ``filename_or_obj``.

    Raises:
        VolumeError: It cannot be read.
    """
    rule = SeriesRule(modality=meta.get(MODALITY_KEY) or None)
    return open_volume(str(meta["filename_or_obj"]), series=rule)
