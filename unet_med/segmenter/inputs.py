"""Open what can be segmented: paths, images of two libraries, arrays, and lists of these."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.errors import InputError
from unet_med.volumes import (
    Volume,
    from_array,
    from_nibabel,
    open_volume,
    select_channel,
    stack_volumes,
)

if TYPE_CHECKING:
    from unet_med.recipe import Recipe
    from unet_med.volumes import ReadOptions


def as_volume(source: Any, channel: int | None, rules: ReadOptions) -> Volume:  # noqa: ANN401 - see Segmenter
    """Open what ``Segmenter.segment`` takes as one volume.

    Raises:
        InputError: It is none of these kinds.
        VolumeError, GeometryError: It cannot be read, or its channels do not fit together.
    """
    if isinstance(source, str | Path):
        return open_volume(Path(source), channel=channel, limits=rules.limits, series=rules.series)
    if isinstance(source, list):
        if not source:
            msg = "an empty list holds no channel: give one path or image per channel"
            raise InputError(msg)
        return stack_volumes([as_volume(part, channel, rules) for part in source])
    volume = _memory_volume(source)
    return volume if channel is None else select_channel(volume, channel)


def _memory_volume(source: Any) -> Volume:  # noqa: ANN401 - see Segmenter
    if isinstance(source, tuple):
        if len(source) != 2 or any(map(_is_scan, source)):  # noqa: PLR2004 - (array, affine)
            msg = (
                "cannot segment this tuple: it stands for (array, affine); give channels as a list"
            )
            raise InputError(msg)
        return from_array(np.asarray(source[0]), np.asarray(source[1]))
    library = _library_of(source)
    if library == "SimpleITK":
        from unet_med.volumes.simpleitk import from_sitk

        return from_sitk(source)
    if library == "nibabel":
        return from_nibabel(source)
    if hasattr(source, "geometry") and hasattr(source, "read"):
        volume: Volume = source
        return volume
    msg = (
        f"cannot segment a {type(source).__name__}: give a path, a nibabel or SimpleITK image, "
        "(array, affine), or a list of these, one per channel"
    )
    raise InputError(msg)


def _library_of(source: object) -> str:
    return type(source).__module__.partition(".")[0]


def _is_scan(part: object) -> bool:
    """Whether a part of a tuple is a scan of its own, so that the tuple is meant as channels."""
    return isinstance(part, str | Path) or _library_of(part) in {"nibabel", "SimpleITK"}


def check_channels(volume: Volume, recipe: Recipe) -> None:
    """Refuse a volume that has not as many channels as the recipe.

    Raises:
        InputError: The numbers differ.
    """
    expected = len(recipe.channels)
    if volume.n_channels == expected:
        return
    names = ", ".join(channel.name for channel in recipe.channels)
    advice = (
        "pick one with --channel N, or take all with --frames"
        if expected == 1
        else "give one scan per channel"
    )
    msg = (
        f"{volume.name} has {volume.n_channels} channels, the recipe wants {expected} "
        f"({names}): {advice}"
    )
    raise InputError(msg)
