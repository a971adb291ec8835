"""The affine of a NIfTI header: which of the three, in mm, and what is doubtful about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.spatialimages import HeaderDataError

from unet_med.geometry import Geometry, corner_displacement_mm

if TYPE_CHECKING:
    from collections.abc import Callable

    import nibabel as nib
    from numpy.typing import NDArray

QFORM_TOLERANCE = 1.5e-3
"""Corner displacement, over the grid's diagonal, from which qform and sform conflict.

The quaternion's first part a is recovered as sqrt(1 - b² - c² - d²) from float32 numbers, and
nibabel takes it for 0 up to a = 6e-4: turns near 180° are off by up to 2a = 1.2e-3 radians.
"""

_GUESSED_AFFINE = (
    "neither sform nor qform is coded; the affine is made from pixdim alone, so the orientation, "
    "left and right included, is a guess"
)
_LENGTH_BITS = 0b111
_OTHER_UNITS = {1: ("meters", 1e3), 3: ("micrometers", 1e-3)}
"""NIfTI's codes of units other than mm: name, and mm in one of them, as ITK has it."""


def best_affine(header: nib.Nifti1Header, *, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Choose the affine in mm: the sform if its code is > 0, the qform if coded, else pixdim."""
    if int(header["sform_code"]) > 0:
        return _spanning(_in_mm(header, header.get_sform), shape=shape)
    if int(header["qform_code"]) > 0:
        return _in_mm(header, header.get_qform)
    return _in_mm(header, header.get_base_affine)


def doubts_about_affine(header: nib.Nifti1Header, geometry: Geometry) -> tuple[str, ...]:
    """Say in plain words where the affine is a guess, is not in mm, or one of two that disagree.

    Args:
        header: What the file says.
        geometry: The grid that was made of it, with `best_affine`.
    """
    unit = _OTHER_UNITS.get(_length_unit(header))
    in_unit = () if unit is None else (f"the header gives lengths in {unit[0]}, turned into mm",)
    return (*in_unit, *_doubts_about_forms(header, geometry))


def _doubts_about_forms(header: nib.Nifti1Header, geometry: Geometry) -> tuple[str, ...]:
    sform_code, qform_code = int(header["sform_code"]), int(header["qform_code"])
    if sform_code <= 0 and qform_code <= 0:
        return (_GUESSED_AFFINE,)
    if sform_code <= 0 or qform_code <= 0:
        return ()
    try:
        qform = Geometry(geometry.shape, _in_mm(header, header.get_qform))
    except (HeaderDataError, ValueError):
        return ("the qform is not valid; the sform is used",)
    return _disagreement(geometry, qform)


def _disagreement(sform: Geometry, qform: Geometry) -> tuple[str, ...]:
    apart = corner_displacement_mm(sform, qform)
    ends = sform.world([(0, 0, 0), sform.shape])
    if apart <= QFORM_TOLERANCE * float(np.linalg.norm(ends[1] - ends[0])):
        return ()
    return (f"sform and qform disagree by up to {apart:.4g} mm; the sform is used",)


def _length_unit(header: nib.Nifti1Header) -> int:
    """Return NIfTI's code of the spatial unit; 0 = unknown."""
    return int(header["xyzt_units"]) & _LENGTH_BITS


def _in_mm(header: nib.Nifti1Header, take: Callable[[], Any]) -> NDArray[np.float64]:
    """Take an affine in the header's unit, as one in mm; a unit that is not said is mm."""
    with np.errstate(invalid="ignore"):  # a damaged header's signaling NaN warns when widened
        scaled = np.array(take(), dtype=np.float64)
    scaled[:3] *= _OTHER_UNITS.get(_length_unit(header), ("mm", 1.0))[1]
    return scaled


def _spanning(affine: NDArray[np.float64], *, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Give a single slice whose sform lacks the third column a normal of 1 mm."""
    if shape[2] == 1 and not affine[:3, 2].any():
        normal = np.cross(affine[:3, 0], affine[:3, 1])
        affine[:3, 2] = normal / (np.linalg.norm(normal) or 1)
    return affine
