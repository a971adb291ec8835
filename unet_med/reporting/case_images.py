"""Pack the images of one case for a page: masks exact, the scan lossy."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.errors import UnetMedError
from unet_med.geometry import grid_difference, slice_layout, slice_position_mm, world_axes
from unet_med.metrics import integer_labels, unique_labels
from unet_med.metrics.labels import downcast_labels
from unet_med.reporting.image_atlas import image_atlas, slice_ranges

if TYPE_CHECKING:
    from unet_med.geometry import Geometry, SliceLayout
    from unet_med.metrics.labels import LabelArray
    from unet_med.volumes import Volume

MASK_VOXELS = 90_000_000
"""Most voxels of a mask that a page holds: a browser unpacks all of them. 512 × 512 × 300 fit."""

MASK_BYTES = 2_000_000
"""Largest packed size of one mask. A real one of 512 × 512 × 300 voxels takes a quarter of it."""

TILT_DEGREES = 1.0
"""From here on a page says that planes and letters are not those of the body."""

_CHUNK_VOXELS = 2**22
_ONE_BYTE = 256
_EFFORT = 6  # of zlib


@dataclass(frozen=True, slots=True)
class CaseVolumes:
    """Hold the volumes that a page shows of one case, all on the grid of the first one there.

    Attributes:
        prediction: Predicted labels, if there are any.
        reference: True labels, if there are any.
        scan: The scan, if it is at hand.
        note: Why there is no scan, one sentence.
    """

    prediction: Volume | None
    reference: Volume | None = None
    scan: Volume | None = None
    note: str = ""

    @property
    def geometry(self) -> Geometry:
        """The grid: slices are counted along the reference's own axis."""
        masks = [mask for mask in (self.reference, self.prediction) if mask is not None]
        return masks[0].geometry


def case_image_data(volumes: CaseVolumes, *, slice_axis: str) -> dict[str, Any]:
    """Return the grid, the masks and the scan of a case, JSON-ready.

    Slices come in the file's own order, so the n-th one is slice n of slices.csv; rows and
    columns come in increasing world coordinate, as `SliceLayout` has them.

    Args:
        volumes: Masks and scan.
        slice_axis: What the slices of the curves are.

    Raises:
        VolumeError: A mask cannot be read.
        LabelError: A mask holds no labels.
    """
    geometry = volumes.geometry
    layout = slice_layout(geometry, slice_axis).in_file_order()
    masks = {
        role: _read_mask(mask, layout)
        for role, mask in (("prediction", volumes.prediction), ("reference", volumes.reference))
        if mask is not None
    }
    values = {value for mask, _ in masks.values() for value in unique_labels(mask)}
    codes = np.array(sorted(values | {0}))
    image, note = _scan(volumes, layout)
    pictures = {
        "grid": grid_facts(geometry, layout),
        "codes": codes.tolist(),
        "masks": {role: _packed(*mask, codes=codes) for role, mask in masks.items()},
        "image": image,
        "note": note,
    }
    return pictures | _facts(volumes, pictures)


def grid_facts(geometry: Geometry, layout: SliceLayout) -> dict[str, Any]:
    """Return where the slices (n, H, W) of a layout lie, JSON-ready.

    Returns:
        ``shape`` and ``spacing_mm`` (n, H, W); ``world``: the world axis (0 right, 1 anterior,
        2 superior) of each; ``reversed``: whether it runs against it; ``file_axes`` and
        ``file_flips``: the file's axis, and whether the file runs the other way; ``to_world``: rows
        of the affine from (n, H, W, 1) to RAS+ mm; ``positions_mm`` per slice; ``tilt_degrees``:
        largest angle between an axis and the body axis it is named after.
    """
    along, _ = world_axes(geometry.voxel_to_world)
    axes = list(layout.axes)
    shape = [geometry.shape[axis] for axis in axes]
    place = np.zeros((4, 4))  # (n, H, W, 1) -> (i, j, k, 1)
    place[3, 3] = 1
    for stored, (axis, flip) in enumerate(zip(axes, layout.flips, strict=True)):
        place[axis, stored] = -1 if flip else 1
        place[axis, 3] = shape[stored] - 1 if flip else 0
    to_world = geometry.voxel_to_world @ place
    world = [along[axis] for axis in axes]
    steps = to_world[:3, :3] / np.linalg.norm(to_world[:3, :3], axis=0)
    cosines = [abs(steps[world[stored], stored]) for stored in range(3)]
    count = shape[0]
    return {
        "shape": shape,
        "spacing_mm": list(layout.spacing(geometry)),
        "world": world,
        "reversed": [bool(to_world[world[stored], stored] < 0) for stored in range(3)],
        "file_axes": axes,
        "file_flips": list(layout.flips),
        "to_world": to_world[:3].tolist(),
        "positions_mm": [
            round(slice_position_mm(geometry, n, axis=axes[0]), 4) for n in range(count)
        ],
        "tilt_degrees": round(float(np.degrees(np.arccos(np.clip(min(cosines), 0, 1)))), 1),
    }


def _read_mask(mask: Volume, layout: SliceLayout) -> tuple[LabelArray, int]:
    """Read labels (n, H, W); of very large masks every n-th voxel of rows and columns.

    Returns:
        The labels and n.
    """
    n_slices, rows, columns = (mask.geometry.shape[axis] for axis in layout.axes)
    step = 1
    while n_slices * len(range(step // 2, rows, step)) * len(range(step // 2, columns, step)) > (
        MASK_VOXELS
    ) and step < min(rows, columns):
        step += 1
    parts = []
    for start, stop in slice_ranges(n_slices, max(1, _CHUNK_VOXELS // (rows * columns))):
        chunk = mask.read(start, stop, axis=layout.slice_axis)[0]
        kept = layout.to_slices(chunk)[:, step // 2 :: step, step // 2 :: step]
        parts.append(downcast_labels(integer_labels(kept, name=mask.name)))
    return np.concatenate(parts), step


def _packed(mask: LabelArray, step: int, *, codes: LabelArray) -> dict[str, Any]:
    """Return a mask as deflated codes; one that does not pack well is thinned out further."""
    width = np.dtype(np.uint8 if len(codes) <= _ONE_BYTE else "<u2")
    more, kept = 1, mask
    data = _deflated(kept, codes, width)
    while len(data) > MASK_BYTES and min(kept.shape[1:]) > 1:
        more += 1
        kept = mask[:, more // 2 :: more, more // 2 :: more]
        data = _deflated(kept, codes, width)
    return {
        "data": base64.b64encode(data).decode(),
        "bytes": width.itemsize,
        "shape": list(kept.shape),
        "factor": step * more,
    }


def _deflated(mask: LabelArray, codes: LabelArray, width: np.dtype[Any]) -> bytes:
    """Return the codes of a mask's values, deflated; a few slices are coded at a time."""
    table = None
    if mask.dtype == np.uint8:
        table = np.zeros(_ONE_BYTE, width)
        table[codes] = np.arange(len(codes))
    packer = zlib.compressobj(_EFFORT)
    parts = []
    for start, stop in slice_ranges(len(mask), max(1, _CHUNK_VOXELS // mask[0].size)):
        part = mask[start:stop]
        coded = np.searchsorted(codes, part).astype(width) if table is None else table[part]
        parts.append(packer.compress(coded.tobytes()))
    return b"".join([*parts, packer.flush()])


def _scan(volumes: CaseVolumes, layout: SliceLayout) -> tuple[dict[str, Any] | None, str]:
    """Return the scan's pictures, or why there are none."""
    scan = volumes.scan
    if scan is None:
        return None, volumes.note
    difference = grid_difference(volumes.geometry, scan.geometry)
    if difference:
        return None, f"The scan {scan.name} does not lie on the grid of the mask: {difference}."
    try:
        return image_atlas(scan, layout), volumes.note
    except UnetMedError as exc:
        return None, f"The scan {scan.name} cannot be read: {exc}."


def _facts(volumes: CaseVolumes, pictures: dict[str, Any]) -> dict[str, list[Any]]:
    """Say in words what is shown, and how far it is from what is stored."""
    grid, image = pictures["grid"], pictures["image"]
    sizes = zip(volumes.geometry.shape, volumes.geometry.spacing_mm, strict=True)
    facts = [["voxels and spacing", " × ".join(f"{n} ({mm:.4g} mm)" for n, mm in sizes)]]
    names = {"prediction": volumes.prediction, "reference": volumes.reference, "scan": volumes.scan}
    facts += [[role, str(one.path or one.name)] for role, one in names.items() if one is not None]
    notes = []
    if grid["tilt_degrees"] >= TILT_DEGREES:
        notes.append(
            f"The scan lies {grid['tilt_degrees']}° off the axes of the body: letters and names of "
            "planes mean the nearest ones."
        )
    factor = max(mask["factor"] for mask in pictures["masks"].values())
    if factor > 1:
        notes.append(
            f"Masks are shown at every {factor}th voxel of rows and columns (nearest, not mixed); "
            "all scores and curves are of every voxel."
        )
    else:
        facts.append(["masks on this page", "every voxel, exact"])
    if pictures["note"]:
        notes.append(pictures["note"])
    if image is not None:
        size = "every voxel" if image["factor"] == 1 else (
            f"means of {image['factor']} × {image['factor']} voxels in the plane of the slices"
        )  # fmt: skip
        facts.append(["scan on this page", f"{size}, 256 gray levels, lossy: for orientation only"])
    return {"facts": facts, "notes": notes}
