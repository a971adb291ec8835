"""Preprocess whole volumes: normalize, resample in plane, stack adjacent slices as context."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, Transform
from monai.utils import (
    TraceKeys,
    TransformBackends,
    convert_to_dst_type,
    convert_to_numpy,
    convert_to_tensor,
)

from unet_med.errors import InputError
from unet_med.geometry import Geometry, SliceLayout, slice_layout
from unet_med.monai.meta_tensor import ras_affine
from unet_med.monai.plain_mapping import from_mapping
from unet_med.preprocessing import (
    Context,
    InPlaneResampler,
    IntensityStatistics,
    Normalization,
    normalize,
    stack_context,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)


class NormalizeVolume(Transform):  # type: ignore[misc]  # MONAI is untyped
    """Normalize (C, i, j, k) in the file's own order, each channel by its rule of the recipe.

    The result is bit for bit what the command line computes slice by slice. On purpose it is
    not invertible: ``Invertd`` of the preprocessing must not scale a mask.

    Args:
        normalizations: One `Normalization` per channel, or mappings of its fields.

    Raises:
        InputError: A mapping is no normalization.

    Example:
        >>> image = torch.arange(24.0).reshape(1, 2, 3, 4)
        >>> round(NormalizeVolume([{"method": "zscore"}])(image).max().item(), 2)
        1.66
    """

    backend: ClassVar = [TransformBackends.NUMPY]

    def __init__(self, normalizations: Sequence[Normalization | Mapping[str, Any]]) -> None:
        self.normalizations = tuple(
            from_mapping(Normalization, rule, f"normalizations[{n}]")
            for n, rule in enumerate(normalizations)
        )

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the normalized volume, float32, with the image's meta data.

        Raises:
            InputError: The image has another number of channels than there are normalizations.
            VolumeError: A channel has no finite voxel, or all are equal.
        """
        voxels = np.asarray(convert_to_numpy(image), np.float32)
        if voxels.ndim != 4 or len(voxels) != len(self.normalizations):  # noqa: PLR2004 - C, i, j, k
            msg = (
                f"normalization needs (C, i, j, k) with C = {len(self.normalizations)}, "
                f"one per normalization, "
                f"got shape {voxels.shape}"
            )
            raise InputError(msg)
        result = np.empty_like(voxels)
        for channel, rule, target in zip(voxels, self.normalizations, result, strict=True):
            statistics = _statistics(channel)
            if statistics.n_nonfinite:
                logger.warning(
                    "%s: %d voxels are NaN or infinite and were taken as the smallest value",
                    getattr(image, "meta", {}).get("filename_or_obj", "volume"),
                    statistics.n_nonfinite,
                )
            target[:] = normalize(channel, rule, statistics)
        return convert_to_dst_type(result, image, dtype=np.float32)[0]  # type: ignore[no-any-return]


def _statistics(channel: NDArray[np.float32]) -> IntensityStatistics:
    """Count (i, j, k) plane by plane along k, as the streaming reader does."""
    statistics = IntensityStatistics()
    for plane in range(channel.shape[2]):
        statistics.add(channel[..., plane])
    return statistics


class ResampleInPlane(InvertibleTransform):  # type: ignore[misc]  # MONAI is untyped
    """Resample slices to a spacing within their plane; nothing is mixed across slices.

    Works on (C, i, j, k) in any orientation; the affine follows. The inverse takes logits or
    probabilities back to the grid they came from. Labels are refused there: invert first,
    then make labels.

    Args:
        spacing_mm: Target spacing of rows and columns; ``None`` = leave the grid.
        slice_axis: ``axial``, ``coronal``, ``sagittal`` or ``thickest``.

    Example:
        >>> resample = ResampleInPlane(2.0)
        >>> resampled = resample(torch.zeros(1, 8, 6, 3))
        >>> resampled.shape, resample.inverse(resampled).shape
        (torch.Size([1, 4, 3, 3]), torch.Size([1, 8, 6, 3]))
    """

    backend: ClassVar = [TransformBackends.NUMPY]

    def __init__(self, spacing_mm: float | None, *, slice_axis: str = "axial") -> None:
        self.spacing_mm = spacing_mm
        self.slice_axis = slice_axis

    def __call__(self, image: torch.Tensor) -> MetaTensor:
        """Return the resampled volume, float32."""
        tensor = convert_to_tensor(image, track_meta=True)
        geometry, layout = _grid(tensor, self.slice_axis)
        _, row_mm, column_mm = layout.spacing(geometry)
        _, rows, columns = layout.axes
        shape = geometry.shape[rows], geometry.shape[columns]
        resampler = InPlaneResampler(shape, (row_mm, column_mm), self.spacing_mm)
        slices = layout.to_slices(_voxels(tensor))
        resampled = layout.from_slices(resampler.to_network(slices))
        result = _like(tensor, resampled)
        info = {
            "axes": layout.axes,
            "flips": layout.flips,
            "shape": resampler.shape,
            "spacing_mm": resampler.spacing_mm,
        }
        step = _index_map(resampled.shape[1:], geometry.shape)
        self.push_transform(result, orig_size=geometry.shape, extra_info=info, affine=step)
        return result

    def inverse(self, data: torch.Tensor) -> MetaTensor:
        """Return logits (K, i, j, k) on the grid before `__call__`, float32.

        Raises:
            InputError: The data are integers, so they are labels.
        """
        if not data.is_floating_point():
            msg = f"labels ({data.dtype}) are never interpolated: invert logits, then make labels"
            raise InputError(msg)
        tensor = convert_to_tensor(data, track_meta=True)
        info = self.pop_transform(tensor)[TraceKeys.EXTRA_INFO]
        layout = SliceLayout(_three(info["axes"], int), _three(info["flips"], bool))
        rows, columns = (int(size) for size in info["shape"])
        row_mm, column_mm = (float(size) for size in info["spacing_mm"])
        resampler = InPlaneResampler((rows, columns), (row_mm, column_mm), self.spacing_mm)
        slices = layout.to_slices(_voxels(tensor))
        restored = layout.from_slices(resampler.to_native(slices))
        result = _like(tensor, restored)
        step = _index_map(restored.shape[1:], tuple(tensor.shape[1:]))
        result.affine = tensor.affine.double() @ torch.from_numpy(step)
        return result


class StackContext(Transform):  # type: ignore[misc]  # MONAI is untyped
    """Give every slice of (C, i, j, k) its neighbors as channels: (context·C, i, j, k).

    Channel = offset index · C + c, offsets ascending in world order. It moves nothing in space,
    so there is nothing for an inverse to do.

    Args:
        context: The recipe's `Context`: how many slices, and how far they reach in mm; or a
            mapping of its fields.
        slice_axis: ``axial``, ``coronal``, ``sagittal`` or ``thickest``.

    Raises:
        InputError: A mapping is no context.

    Example:
        >>> StackContext({"slices": 3, "reach_mm": 1})(torch.zeros(2, 8, 6, 5)).shape
        torch.Size([6, 8, 6, 5])
    """

    backend: ClassVar = [TransformBackends.NUMPY]

    def __init__(self, context: Context | Mapping[str, Any], *, slice_axis: str = "axial") -> None:
        self.context = from_mapping(Context, context, "context")
        self.slice_axis = slice_axis

    def __call__(self, image: torch.Tensor) -> MetaTensor:
        """Return the volume with context, float32."""
        tensor = convert_to_tensor(image, track_meta=True)
        geometry, layout = _grid(tensor, self.slice_axis)
        slice_mm, _, _ = layout.spacing(geometry)
        offsets = self.context.offsets(slice_mm)
        stacked = stack_context(layout.to_slices(_voxels(tensor)), offsets)
        return _like(tensor, layout.from_slices(stacked))


def _grid(image: MetaTensor, slice_axis: str) -> tuple[Geometry, SliceLayout]:
    """Return grid and slices of (C, i, j, k); without an affine it counts as RAS, 1 mm."""
    if image.ndim != 4:  # noqa: PLR2004 - C, i, j, k
        msg = f"a volume has axes (C, i, j, k), got shape {tuple(image.shape)}"
        raise InputError(msg)
    geometry = Geometry(_three(image.shape[1:], int), ras_affine(image.affine, image.meta))
    return geometry, slice_layout(geometry, slice_axis)


def _voxels(image: MetaTensor) -> NDArray[np.float32]:
    return np.asarray(convert_to_numpy(image), np.float32)


def _like(image: MetaTensor, voxels: NDArray[np.float32]) -> MetaTensor:
    """Return voxels (C, i, j, k) with a copy of the image's meta data and history."""
    result = MetaTensor(torch.from_numpy(np.ascontiguousarray(voxels)).to(image.device))
    return result.copy_meta_from(image)


def _index_map(shape: tuple[int, ...], source: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the affine from voxel indices to those of a source grid, aligned edge to edge."""
    step = np.eye(4)
    for axis, (size, source_size) in enumerate(zip(shape, source, strict=True)):
        ratio = source_size / size
        step[axis, axis], step[axis, 3] = ratio, 0.5 * (ratio - 1.0)
    return step


def _three(values: Any, kind: type) -> Any:  # noqa: ANN401 - tensors after collating, or tuples
    first, second, third = (kind(value) for value in values)
    return first, second, third
