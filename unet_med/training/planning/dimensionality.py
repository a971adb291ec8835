"""When a 3D network would serve better: said from the figures, and then we go on."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from unet_med.training.planning.slices import in_plane_mm, no_units, slice_mm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unet_med.cases import CaseStats

NEARLY_ISOTROPIC = 1.6
"""Slices up to this many times thicker than their pixels are wide carry 3D shape."""

THICK_RATIO = 3.0
"""nnU-Net's own bound for treating the slice axis apart."""

FEW_SLICES = 5.0
"""A structure that spans fewer slices has hardly a third dimension."""

_BETTER_3D = (
    "published comparisons on nearly isotropic scans favor 3D: spleen CT 0.873 (2D) against "
    "0.958, five shoulder MRI labels 0.86 against 0.90 on average"
)
_BETTER_2D = (
    "published comparisons on thick slices favor 2D: hemorrhage CT with 5 mm slices 0.727 (2D) "
    "against 0.535"
)


def compare_2d_3d(case_stats: Sequence[CaseStats], axes: Sequence[int]) -> str:
    """Say whether slices suit these data.

    Args:
        case_stats: The cases.
        axes: Array axis of the slices, per case.

    Returns:
        One sentence with the figures it rests on.

    Source:
        MONAI tutorials, Auto3DSeg on INSTANCE22 (SegResNet2D against SegResNet3D) and on the
        Decathlon spleen; TDSI 2021 shoulder MRI, nnU-Net 2D against 3D.
    """
    if no_units(case_stats, axes):
        return "2D or 3D: the spacing is not known in mm, so nothing is said of it"
    ratio = median(
        thick / median(pair)
        for thick, pair in zip(
            slice_mm(case_stats, axes), in_plane_mm(case_stats, axes), strict=True
        )
    )
    spans = [
        label.n_slices[axis]
        for stats, axis in zip(case_stats, axes, strict=True)
        for label in stats.labels.values()
    ]
    span = median(spans) if spans else 0.0
    figures = (
        f"slices are {ratio:.2g} times as thick as pixels are wide, labels span {span:g} slices"
    )
    if ratio <= NEARLY_ISOTROPIC and span >= FEW_SLICES:
        return f"2D or 3D: a 3D network may serve better: {figures}; {_BETTER_3D}. Going on in 2D"
    if ratio >= THICK_RATIO:
        return f"2D or 3D: slices suit these data: {figures}; {_BETTER_2D}"
    return f"2D or 3D: neither is clearly better: {figures}"
