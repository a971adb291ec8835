"""From images with a place to one grid: by position and orientation, never by name or number."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from unet_med.errors import VolumeError
from unet_med.geometry import Geometry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from unet_med.volumes.dicom_header import SliceHeader

POSITION_TOLERANCE_MM = 0.02
"""How far a slice may lie from its place on an even grid, or one step in a hundred if that is
more: positions are decimal texts, and tables move in small steps."""

PARALLEL_TOLERANCE = 1e-4
"""How far the directions of two slices of one volume may differ."""

_STEP_SHARE = 0.01
_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])
_MAX_LISTED = 4


def stack_slices(images: Sequence[SliceHeader], *, name: str) -> tuple[list[SliceHeader], Geometry]:
    """Order the images of a series along their common normal and find their grid.

    Files that are copies of one image count once. The third axis steps from the first slice to
    the last, so a tilted gantry gives a sheared grid, exactly.

    Args:
        images: All images of one series, in any order.
        name: What to call the series in messages.

    Returns:
        The slices in order, and the grid: i counts columns, j rows, k slices.

    Raises:
        VolumeError: The images are no even stack of parallel slices; the text has the facts.
    """
    unique = list({(image.uid or image.path, image.frame): image for image in images}.values())
    _check_uniform(unique, name)
    first = unique[0]
    normal = np.cross(first.row_direction, first.column_direction)
    ordered = sorted(unique, key=lambda image: float(np.dot(normal, image.position)))
    positions = np.array([image.position for image in ordered])
    _check_distinct_positions(ordered, positions @ normal, name)
    step = _slice_step(ordered, positions, normal)
    _check_even_spacing(positions, step, normal, name)
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.row_direction) * first.spacing_mm[1]
    affine[:3, 1] = np.array(first.column_direction) * first.spacing_mm[0]
    affine[:3, 2], affine[:3, 3] = step, positions[0]
    affine[:3] *= _RAS_TO_LPS[:, np.newaxis]
    pixels = first.pixels
    return ordered, Geometry((pixels.columns, pixels.rows, len(ordered)), affine)


def _check_uniform(images: Sequence[SliceHeader], name: str) -> None:
    """Refuse images of several sizes, pixel sizes, types or directions."""
    kinds = Counter(
        f"{p.rows} × {p.columns} pixels of {p.dtype}, {i.spacing_mm[0]:g} × {i.spacing_mm[1]:g} mm"
        for i in images
        for p in [i.pixels]
    )
    if len(kinds) > 1:
        facts = "; ".join(f"{count} of {kind}" for kind, count in kinds.most_common(_MAX_LISTED))
        msg = f"{name} mixes images: {facts}; separate them"
        raise VolumeError(msg)
    if len({i.pixels for i in images}) > 1:
        msg = f"{name} mixes images of different bit depths; convert it first"
        raise VolumeError(msg)
    directions = np.array([[*image.row_direction, *image.column_direction] for image in images])
    if np.abs(directions - directions[0]).max() > PARALLEL_TOLERANCE:
        found = len({tuple(row) for row in np.round(directions, 2).tolist()})
        msg = (
            f"{name} has slices in {found} directions (a localizer, or several stacks), not one "
            "stack of parallel slices; choose another series"
        )
        raise VolumeError(msg)


def _check_distinct_positions(
    ordered: Sequence[SliceHeader], along: NDArray[np.float64], name: str
) -> None:
    """Refuse two images at one place: a series over time, echoes or b-values, or scanned twice."""
    shared = int(np.count_nonzero(np.diff(along) < POSITION_TOLERANCE_MM))
    if not shared:
        return
    values_by_dimension: dict[str, set[str]] = {}
    for image in ordered:
        for what, value in image.dimension_values:
            values_by_dimension.setdefault(what, set()).add(value)
    telling = [
        f"{len(values)} values of {what}"
        for what, values in values_by_dimension.items()
        if len(values) > 1
    ]
    why = f" ({', '.join(telling[:_MAX_LISTED])})" if telling else ""
    msg = (
        f"{name} has several images at one place: {len(ordered)} images at "
        f"{len(ordered) - shared} places{why}; export one image per place"
    )
    raise VolumeError(msg)


def _slice_step(
    ordered: Sequence[SliceHeader], positions: NDArray[np.float64], normal: NDArray[np.float64]
) -> NDArray[np.float64]:
    if len(ordered) == 1:
        return np.asarray(normal * (ordered[0].thickness_mm or 1.0))
    return np.asarray((positions[-1] - positions[0]) / (len(ordered) - 1))


def _check_even_spacing(
    positions: NDArray[np.float64],
    step: NDArray[np.float64],
    normal: NDArray[np.float64],
    name: str,
) -> None:
    n_slices = len(positions)
    expected = positions[0] + np.arange(n_slices)[:, np.newaxis] * step
    away = np.linalg.norm(positions - expected, axis=1)
    if away.max() <= max(POSITION_TOLERANCE_MM, _STEP_SHARE * float(np.linalg.norm(step))):
        return
    gaps = np.diff(positions @ normal)
    usual = float(np.median(gaps))
    wide = np.flatnonzero(gaps > 1.5 * usual)
    missing = round(float((gaps[wide] / usual - 1).sum()))
    if len(wide) and np.allclose(gaps / usual, np.round(gaps / usual), atol=0.05):
        where = ", ".join(f"after slice {n + 1}" for n in wide[:_MAX_LISTED])
        msg = (
            f"{name} lacks {missing} of {n_slices + missing} slices ({where}; slices are "
            f"{usual:.4g} mm apart, there {gaps[wide].max():.4g} mm); copy the whole series again"
        )
        raise VolumeError(msg)
    if np.ptp(gaps) > _STEP_SHARE * usual:
        facts = f"distances between slices run from {gaps.min():.4g} to {gaps.max():.4g} mm"
    else:
        facts = f"slices are shifted sideways by up to {away.max():.4g} mm"
    msg = f"{name} is no even stack: {facts}; no grid can hold it, so resample it first"
    raise VolumeError(msg)
