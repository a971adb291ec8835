"""Dictionary forms of the transforms: the same step for each of the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monai.transforms import InvertibleTransform, MapTransform

from unet_med.errors import InputError
from unet_med.monai.transforms.io import LoadVolume, SaveMask
from unet_med.monai.transforms.preprocessing import NormalizeVolume, ResampleInPlane, StackContext

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from os import PathLike

    from unet_med.preprocessing import Context, Normalization
    from unet_med.volumes import MaskProvenance

    Keys = Hashable | Sequence[Hashable]
    Data = dict[Hashable, Any]


class LoadVolumed(MapTransform):  # type: ignore[misc]  # MONAI is untyped
    """Load the volumes that keys name: dictionary form of `LoadVolume`.

    Args:
        keys: Each holds a path, or one path per channel.
        channel: As in `LoadVolume`.
        n_channels: As in `LoadVolume`.
        modalities: As in `LoadVolume`.
        allow_missing_keys: Leave out keys that the data lack.

    Example:
        >>> from unet_med.bundle import demo_data
        >>> scan = next((demo_data() / "images").glob("*.nii.gz"))
        >>> LoadVolumed("image", n_channels=1)({"image": scan})["image"].ndim
        4
    """

    backend = LoadVolume.backend

    def __init__(
        self,
        keys: Keys,
        *,
        channel: int | None = None,
        n_channels: int | None = None,
        modalities: Sequence[str] = (),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = LoadVolume(channel=channel, n_channels=n_channels, modalities=modalities)

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Load every key."""
        return _each(self, data)


class NormalizeVolumed(MapTransform):  # type: ignore[misc]  # MONAI is untyped
    """Normalize the volumes of keys: dictionary form of `NormalizeVolume`.

    Args:
        keys: Each holds a volume (C, i, j, k).
        normalizations: As in `NormalizeVolume`.
        allow_missing_keys: Leave out keys that the data lack.

    Example:
        >>> import torch
        >>> normalize = NormalizeVolumed("image", normalizations=[{"method": "zscore"}])
        >>> normalized = normalize({"image": torch.arange(24.0).reshape(1, 2, 3, 4)})
        >>> round(normalized["image"].max().item(), 2)
        1.66
    """

    backend = NormalizeVolume.backend

    def __init__(
        self,
        keys: Keys,
        *,
        normalizations: Sequence[Normalization | Mapping[str, Any]],
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = NormalizeVolume(normalizations)

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Normalize every key."""
        return _each(self, data)


class ResampleInPlaned(MapTransform, InvertibleTransform):  # type: ignore[misc]  # MONAI is untyped
    """Resample the slices of keys: dictionary form of `ResampleInPlane`.

    ``Invertd`` takes logits back to the grid they came from.

    Args:
        keys: Each holds a volume (C, i, j, k).
        spacing_mm: As in `ResampleInPlane`.
        slice_axis: As in `ResampleInPlane`.
        allow_missing_keys: Leave out keys that the data lack.

    Example:
        >>> import torch
        >>> resample = ResampleInPlaned("image", spacing_mm=2.0)
        >>> resample({"image": torch.zeros(1, 8, 6, 3)})["image"].shape
        torch.Size([1, 4, 3, 3])
    """

    backend = ResampleInPlane.backend

    def __init__(
        self,
        keys: Keys,
        *,
        spacing_mm: float | None,
        slice_axis: str = "axial",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = ResampleInPlane(spacing_mm, slice_axis=slice_axis)

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Resample every key."""
        return _each(self, data)

    def inverse(self, data: Mapping[Hashable, Any]) -> Data:
        """Take every key back to its grid."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.transform.inverse(result[key])
        return result


class StackContextd(MapTransform):  # type: ignore[misc]  # MONAI is untyped
    """Stack adjacent slices of keys as channels: dictionary form of `StackContext`.

    Args:
        keys: Each holds a volume (C, i, j, k).
        context: As in `StackContext`.
        slice_axis: As in `StackContext`.
        allow_missing_keys: Leave out keys that the data lack.

    Example:
        >>> import torch
        >>> stack = StackContextd("image", context={"slices": 3, "reach_mm": 1})
        >>> stack({"image": torch.zeros(1, 8, 6, 5)})["image"].shape
        torch.Size([3, 8, 6, 5])
    """

    backend = StackContext.backend

    def __init__(
        self,
        keys: Keys,
        *,
        context: Context | Mapping[str, Any],
        slice_axis: str = "axial",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = StackContext(context, slice_axis=slice_axis)

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Stack the context of every key."""
        return _each(self, data)


class SaveMaskd(MapTransform):  # type: ignore[misc]  # MONAI is untyped
    """Save the label map of a key as a mask file: dictionary form of `SaveMask`.

    Args:
        keys: The label map to write, one key.
        output_dir: As in `SaveMask`.
        label_names: As in `SaveMask`.
        case_key: Key of the case's relative folder and name; ``None`` = the scan's name.
        data_root_dir: As in `SaveMask`.
        overwrite: As in `SaveMask`.
        provenance: As in `SaveMask`.
        allow_missing_keys: Write nothing where the key is missing.

    Raises:
        InputError: There are several keys: their masks would share a name.

    Example:
        >>> SaveMaskd("pred", output_dir="masks", label_names={1: "brain"}).keys
        ('pred',)
    """

    backend = SaveMask.backend

    def __init__(  # noqa: PLR0913 - one per setting
        self,
        keys: Keys,
        *,
        output_dir: str | PathLike[str],
        label_names: Mapping[int, str],
        case_key: Hashable | None = None,
        data_root_dir: str | PathLike[str] | None = None,
        overwrite: bool | str = False,
        provenance: MaskProvenance | Mapping[str, Any] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if len(self.keys) != 1:
            msg = f"SaveMaskd writes one label map, got keys {self.keys}: use one SaveMaskd each"
            raise InputError(msg)
        self.case_key = case_key
        self.transform = SaveMask(
            output_dir,
            label_names=label_names,
            data_root_dir=data_root_dir,
            overwrite=overwrite,
            provenance=provenance,
        )

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Write every key; the data stay as they are."""
        for key in self.key_iterator(data):
            case = None if self.case_key is None else str(data[self.case_key])
            self.transform(data[key], case=case)
        return dict(data)


def _each(transform: MapTransform, data: Mapping[Hashable, Any]) -> Data:
    result = dict(data)
    for key in transform.key_iterator(result):
        result[key] = transform.transform(result[key])
    return result


LoadVolumeD = LoadVolumeDict = LoadVolumed
NormalizeVolumeD = NormalizeVolumeDict = NormalizeVolumed
ResampleInPlaneD = ResampleInPlaneDict = ResampleInPlaned
StackContextD = StackContextDict = StackContextd
SaveMaskD = SaveMaskDict = SaveMaskd
