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

    Keys = Hashable | Sequence[Hashable]
    Data = dict[Hashable, Any]


class LoadVolumed(MapTransform):  # type: ignore[misc]  # MONAI is untyped
    """Dictionary form of `LoadVolume`: each key holds a path, or one path per channel."""

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
    """Dictionary form of `NormalizeVolume`."""

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
    """Dictionary form of `ResampleInPlane`; ``Invertd`` takes logits back."""

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
    """Dictionary form of `StackContext`."""

    def __init__(
        self,
        keys: Keys,
        *,
        context: Context,
        slice_axis: str = "axial",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = StackContext(context, slice_axis=slice_axis)

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Stack the context of every key."""
        return _each(self, data)


class SaveMaskd(MapTransform):  # type: ignore[misc]  # MONAI is untyped
    """Dictionary form of `SaveMask`.

    Args:
        keys: The label map to write, one key.
        output_dir: As in `SaveMask`.
        label_names: As in `SaveMask`.
        case_key: Key of the case's relative folder and name; ``None`` = the scan's name.
        data_root_dir: As in `SaveMask`.
        **options: ``overwrite`` and ``provenance``, as in `SaveMask`.

    Raises:
        InputError: There are several keys: their masks would share a name.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        output_dir: str | PathLike[str],
        label_names: Mapping[int, str],
        case_key: Hashable | None = None,
        data_root_dir: str | PathLike[str] | None = None,
        **options: Any,  # noqa: ANN401 - those of SaveMask
    ) -> None:
        super().__init__(keys)
        if len(self.keys) != 1:
            msg = f"SaveMaskd writes one label map, got keys {self.keys}: use one SaveMaskd each"
            raise InputError(msg)
        self.case_key = case_key
        self.transform = SaveMask(
            output_dir, label_names=label_names, data_root_dir=data_root_dir, **options
        )

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Write every key; the data stay as they are."""
        case = None if self.case_key is None else str(data[self.case_key])
        for key in self.key_iterator(data):
            self.transform(data[key], case=case)
        return dict(data)


def _each(transform: MapTransform, data: Mapping[Hashable, Any]) -> Data:
    result = dict(data)
    for key in transform.key_iterator(result):
        result[key] = transform.transform(result[key])
    return result
