"""Cleaning labels once the whole label map is there: small parts, extra parts, holes."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.recipe import rules_by_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from unet_med.geometry import Geometry
    from unet_med.recipe import PostprocessingRule, Recipe

    Labels = NDArray[np.unsignedinteger]

VOLUME_TOLERANCE = 1e-6
"""Relative slack of volumes: a component of exactly the smallest volume stays, whatever the last
digits of the affine."""

_RANK = {"faces": 1, "edges": 2, "corners": 3}
_BOX_BYTES = 7
"""Per voxel of a label's box: component numbers (int32), the label's mask, two masks of work."""

_LABEL_BYTES = 12
"""Per voxel of the label: its component number, once as int32 and once as the int64 counted."""


@dataclass(frozen=True, slots=True)
class PostprocessingReport:
    """What was changed and what it cost.

    Attributes:
        removed_voxels: Voxels taken from each label, by value; they became background.
        filled_voxels: Voxels given to each label, by value; they were background.
        seconds: Time it took.
        memory_bytes: The whole label map and the largest working arrays beside it.
    """

    removed_voxels: dict[int, int]
    filled_voxels: dict[int, int]
    seconds: float
    memory_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready content."""
        content = asdict(self)
        for key in ("removed_voxels", "filled_voxels"):
            content[key] = {str(value): count for value, count in content[key].items()}
        content["seconds"] = round(self.seconds, 4)
        return content


def postprocess_labels(labels: Labels, recipe: Recipe, geometry: Geometry) -> PostprocessingReport:
    """Apply a recipe's rules to a whole label map, in place.

    First components are removed, label by label in the recipe's order, then holes are filled
    in the same order. Removed voxels become background; only background is filled, so what
    other labels hold stays theirs. Axes of length one do not count: in a single slice a hole
    is what the label encloses in the plane.

    Args:
        labels: (i, j, k), changed in place.
        recipe: States rules and labels.
        geometry: The grid.

    Returns:
        What was changed and what it cost.
    """
    start = time.perf_counter()
    rules = rules_by_value(recipe.postprocessing, recipe.labels)
    view = np.squeeze(labels) if min(labels.shape) == 1 and labels.size > 1 else labels
    parts = {value: view[box] for value in rules if (box := _box(view, value)) is not None}
    working = max((_working_bytes(part, value) for value, part in parts.items()), default=0)
    removed, filled = dict.fromkeys(rules, 0), dict.fromkeys(rules, 0)
    for value, part in parts.items():
        removed[value] = _remove(part, value, rules[value], voxel_ml=geometry.voxel_ml)
    for value, part in parts.items():
        filled[value] = _fill(part, value, rules[value])
    seconds = time.perf_counter() - start
    return PostprocessingReport(removed, filled, seconds, labels.nbytes + working)


def _working_bytes(part: Labels, value: int) -> int:
    return _BOX_BYTES * part.size + _LABEL_BYTES * int(np.count_nonzero(part == value))


def _remove(part: Labels, value: int, rule: PostprocessingRule, *, voxel_ml: float) -> int:
    """Remove components from a label's box, and return how many voxels they had."""
    if rule.min_component_ml is None and not rule.largest_component:
        return 0
    from unet_med.metrics import label_components  # here, as few recipes need SciPy

    mask = part == value
    numbers, count = label_components(mask, rank=_RANK[rule.connectivity])
    sizes = np.bincount(numbers[mask], minlength=count + 1)
    kept = sizes > 0
    kept[0] = True  # what is not the label
    if rule.min_component_ml is not None:
        kept[1:] = sizes[1:] >= rule.min_component_ml / voxel_ml * (1.0 - VOLUME_TOLERANCE)
    if rule.largest_component:
        kept[1:] &= np.arange(1, count + 1) == np.argmax(sizes)
    gone = ~kept[numbers]
    part[gone] = 0
    return int(np.count_nonzero(gone))


def _fill(part: Labels, value: int, rule: PostprocessingRule) -> int:
    """Fill a label's holes, which lie in its box, and return how many voxels they had."""
    if not rule.fill_holes:
        return 0
    from unet_med.metrics import label_components

    rank = None if rule.connectivity == "faces" else 1
    numbers, count = label_components(part != value, rank=rank)
    enclosed = np.ones(count + 1, bool)
    enclosed[0] = False  # the label itself
    for axis in range(part.ndim):
        for end in (0, -1):
            enclosed[numbers.take(end, axis=axis)] = False
    holes = enclosed[numbers]
    holes &= part == 0
    part[holes] = value
    return int(np.count_nonzero(holes))


def _box(labels: Labels, value: int) -> tuple[slice, ...] | None:
    """Return the smallest box that holds a label; ``None`` = there is none of it."""
    held = [np.zeros(side, bool) for side in labels.shape]
    for n, plane in enumerate(labels):
        hit = np.asarray(plane == value)
        held[0][n] = hit.any()
        for axis in range(hit.ndim):
            others = tuple(other for other in range(hit.ndim) if other != axis)
            held[axis + 1] |= hit.any(axis=others)
    if not held[0].any():
        return None
    ends = [np.flatnonzero(side)[[0, -1]] for side in held]
    return tuple(slice(int(first), int(last) + 1) for first, last in ends)
