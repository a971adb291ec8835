"""NIfTI headers: parse shape, voxel type, scaling and affine, and check them first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from unet_med.errors import VolumeError
from unet_med.geometry import Geometry, corner_displacement_mm
from unet_med.volumes.file_io import (
    MAX_DEFLATE_RATIO,
    check_trailing_bytes,
    open_stream,
    translate_read_errors,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
        return _with_slice_normal(_in_mm(header, header.get_sform), shape=shape)
    if int(header["qform_code"]) > 0:
        return _in_mm(header, header.get_qform)
    return _in_mm(header, header.get_base_affine)


def affine_warnings(header: nib.Nifti1Header, geometry: Geometry) -> tuple[str, ...]:
    """Say in plain words where the affine is a guess, is not in mm, or one of two that disagree.

    Args:
        header: What the file says.
        geometry: The grid that was made of it, with `best_affine`.
    """
    unit = _OTHER_UNITS.get(_length_unit(header))
    in_unit = () if unit is None else (f"the header gives lengths in {unit[0]}, turned into mm",)
    return (*in_unit, *_form_warnings(header, geometry))


def _form_warnings(header: nib.Nifti1Header, geometry: Geometry) -> tuple[str, ...]:
    sform_code, qform_code = int(header["sform_code"]), int(header["qform_code"])
    if sform_code <= 0 and qform_code <= 0:
        return (_GUESSED_AFFINE,)
    if sform_code <= 0 or qform_code <= 0:
        return ()
    try:
        qform = Geometry(geometry.shape, _in_mm(header, header.get_qform))
    except (HeaderDataError, ValueError):
        return ("the qform is not valid; the sform is used",)
    return _disagreement_warning(geometry, qform)


def _disagreement_warning(sform: Geometry, qform: Geometry) -> tuple[str, ...]:
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


def _with_slice_normal(
    affine: NDArray[np.float64], *, shape: tuple[int, int, int]
) -> NDArray[np.float64]:
    """Give a single slice whose sform lacks the third column a normal of 1 mm."""
    if shape[2] == 1 and not affine[:3, 2].any():
        normal = np.cross(affine[:3, 0], affine[:3, 1])
        affine[:3, 2] = normal / (np.linalg.norm(normal) or 1)
    return affine


_HEADER_CLASSES = {348: nib.Nifti1Header, 540: nib.Nifti2Header}

_MAGICS = {b"n+1", b"ni1", b"n+2", b"ni2"}

_MAX_OFFSET = 1 << 28  # header extensions are text and DICOM headers: megabytes at most

_SPATIAL_AXES = 3

_CHANNEL_AXIS = 3  # of (i, j, k, C)

_VECTOR_AXIS = 4  # of (i, j, k, 1, C)


@dataclass(frozen=True, slots=True, eq=False)
class NiftiHeader:
    """What a NIfTI header says.

    Attributes:
        raw: The header's bytes as they stand in the file, 348 (NIfTI-1) or 540 (NIfTI-2).
        geometry: The grid; the affine as `best_affine` chooses it.
        n_channels: Voxels per grid point.
        dtype: Type of the stored voxels, byte order included.
        slope: Factor of the stored values.
        inter: Added after the factor.
        offset: Byte at which the voxels start.
    """

    raw: bytes
    geometry: Geometry
    n_channels: int
    dtype: np.dtype[Any]
    slope: float
    inter: float
    offset: int

    @property
    def n_bytes(self) -> int:
        """Size of the voxels in bytes."""
        voxels = np.prod(self.geometry.shape, dtype=np.int64)
        return int(voxels) * self.n_channels * self.dtype.itemsize

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the affine, in words."""
        return affine_warnings(header_class(self.raw)(self.raw), self.geometry)


def header_class(raw: bytes) -> type[nib.Nifti1Header]:
    """Return nibabel's class for a raw header, by its length."""
    return _HEADER_CLASSES[len(raw)]  # type: ignore[no-any-return] # nibabel is untyped here


def header_and_data_paths(path: Path) -> tuple[Path, Path | None]:
    """Return the header's path and, for a pair of files, the voxels' path."""
    if path.suffix.lower() not in {".hdr", ".img"}:
        return path, None
    header, voxels = (".HDR", ".IMG") if path.suffix.isupper() else (".hdr", ".img")
    return path.with_suffix(header), path.with_suffix(voxels)


def read_header(path: Path, *, data_path: Path | None = None) -> NiftiHeader:
    """Read and check the header of a NIfTI file; no voxel is read.

    Args:
        path: The .nii, .nii.gz or .hdr file.
        data_path: The file with the voxels, when it is another one.

    Raises:
        VolumeError: The file is missing, unreadable, no NIfTI file, or says what cannot be.
    """
    with translate_read_errors(path):
        raw = _read_raw_header(path)
        header = parse_header(raw, name=str(path))
        if data_path is None and header.offset < len(raw) + 4:
            msg = f"voxels would start at byte {header.offset}, inside the header"
            raise HeaderDataError(msg)
        _check_size(data_path or path, header)
    return header


def parse_header(raw: bytes, *, name: str) -> NiftiHeader:
    """Interpret raw header bytes as nibabel does, and check what nibabel leaves to the reader.

    Raises:
        VolumeError: The shape or the voxel type is none that this package reads.
        HeaderDataError: nibabel refuses the header.
    """
    header = header_class(raw)(raw)
    shape, n_channels = _shape_and_channels(header.get_data_shape(), name=name)
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        kind = "colors" if dtype.kind == "V" else f"{dtype.name} numbers"
        msg = f"{name} holds {kind}, not one real number per voxel; convert it first"
        raise VolumeError(msg)
    slope, inter = _scaling(header)
    geometry = Geometry(shape, best_affine(header, shape=shape))
    offset = int(header.get_data_offset())
    return NiftiHeader(raw, geometry, n_channels, dtype, slope, inter, offset)


def _read_raw_header(path: Path) -> bytes:
    with open_stream(path) as stream:
        start = stream.read(max(_HEADER_CLASSES))
    if not start:
        msg = f"{path} is empty; copy or download it again"
        raise VolumeError(msg)
    size = {int.from_bytes(start[:4], order) for order in ("little", "big")} & set(_HEADER_CLASSES)
    if not size or len(start) < min(size):
        msg = f"{path} is not a NIfTI file: it starts with {start[:8]!r}; check what it is"
        raise VolumeError(msg)
    raw = start[: size.pop()]
    magic = header_class(raw)(raw, check=False)["magic"].item()[:3]
    if magic not in _MAGICS:
        msg = f"{path} is not a NIfTI file: its magic is {magic!r} (Analyze 7.5?); convert it first"
        raise VolumeError(msg)
    return raw


def _check_size(path: Path, header: NiftiHeader) -> None:
    """Compare a file's size with its header; what a gzip file lacks in the end shows on reading."""
    found = path.stat().st_size
    most = found * MAX_DEFLATE_RATIO if path.suffix.lower() == ".gz" else found
    needed = header.offset + header.n_bytes
    if most < needed:
        msg = (
            f"{path} is cut off: {found} bytes cannot hold the {needed} that its header says; "
            "copy or download it again"
        )
        raise VolumeError(msg)
    if header.offset > _MAX_OFFSET:
        msg = f"voxels would start at byte {header.offset}"
        raise HeaderDataError(msg)
    if path.suffix.lower() != ".gz":
        check_trailing_bytes(path, found - needed)


def _shape_and_channels(dims: tuple[int, ...], *, name: str) -> tuple[tuple[int, int, int], int]:
    """Split NIfTI dimensions into a spatial shape and channels."""
    sizes = list(dims)
    while len(sizes) > _SPATIAL_AXES and sizes[-1] == 1:
        sizes.pop()
    vector = len(sizes) == _VECTOR_AXIS + 1 and sizes[_CHANNEL_AXIS] == 1
    if not (2 <= len(sizes) <= _SPATIAL_AXES + 1 or vector) or min(sizes) < 1:  # noqa: PLR2004 - 2D
        msg = f"{name} has shape {dims}; 2D, 3D and 4D (channels last) can be read: split it first"
        raise VolumeError(msg)
    first, second, third = (*sizes, 1)[:_SPATIAL_AXES]
    return (first, second, third), sizes[-1] if len(sizes) > _SPATIAL_AXES else 1


def _scaling(header: nib.Nifti1Header) -> tuple[float, float]:
    """Return slope and intercept; a slope of 0 or NaN means "as stored", as nibabel has it."""
    if np.isinf(header["scl_slope"]):
        msg = f"scl_slope is {float(header['scl_slope'])}"
        raise HeaderDataError(msg)
    slope, inter = header.get_slope_inter()
    return (1.0, 0.0) if slope is None else (slope, inter)
