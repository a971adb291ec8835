"""NIfTI headers: what a file says about its voxels, checked before any is read."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from unet_med.errors import GeometryError, OutputError, VolumeError
from unet_med.geometry import Geometry
from unet_med.volumes.gzip_stream import DAMAGED, open_stream
from unet_med.volumes.nifti_affine import best_affine, doubts_about_affine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NO_FILE = {
    FileNotFoundError: "does not exist",
    IsADirectoryError: "is a folder, not a NIfTI file",
}
_HEADER_CLASSES = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
_MAGICS = {b"n+1", b"ni1", b"n+2", b"ni2"}
_LARGEST_DEFLATE_RATIO = 1032  # of deflate; so that a wrong header asks for no absurd memory
_LARGEST_OFFSET = 1 << 28  # header extensions are text and DICOM headers: megabytes at most
MOST_TRAILING_BYTES = 1 << 20
"""What may follow the voxels unread, such as padding; with more, header and data do not belong
together."""

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
    def doubts(self) -> tuple[str, ...]:
        """What is doubtful about the affine, in words."""
        return doubts_about_affine(header_class(self.raw)(self.raw), self.geometry)


def header_class(raw: bytes) -> type[nib.Nifti1Header]:
    """Return nibabel's class for a raw header, by its length."""
    return _HEADER_CLASSES[len(raw)]  # type: ignore[no-any-return] # nibabel is untyped here


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the system, gzip and nibabel raise while reading a file into one VolumeError."""
    try:
        yield
    except OutputError:  # of the temporary disk; it says what to do
        raise
    except (FileNotFoundError, IsADirectoryError) as exc:
        msg = f"{path} {_NO_FILE[type(exc)]}; check the path"
        raise VolumeError(msg) from exc
    except EOFError as exc:
        msg = f"{path} is cut off: its gzip stream has no end; copy or download it again"
        raise VolumeError(msg) from exc
    except DAMAGED as exc:
        msg = f"{path} is not intact gzip data ({_one_line(exc)}); copy or download it again"
        raise VolumeError(msg) from exc
    except OSError as exc:
        msg = f"{path} cannot be read: {exc.strerror or _one_line(exc)}; check rights and the disk"
        raise VolumeError(msg) from exc
    except (HeaderDataError, WrapStructError, GeometryError, KeyError, ValueError) as exc:
        if isinstance(exc, VolumeError):
            raise
        msg = f"{path} has a header that cannot be used: {_one_line(exc)}; convert the scan again"
        raise VolumeError(msg) from exc


def header_and_data(path: Path) -> tuple[Path, Path | None]:
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
    with reading(path):
        raw = _raw_header(path)
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


def _raw_header(path: Path) -> bytes:
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
    most = found * _LARGEST_DEFLATE_RATIO if path.suffix.lower() == ".gz" else found
    needed = header.offset + header.n_bytes
    if most < needed:
        msg = (
            f"{path} is cut off: {found} bytes cannot hold the {needed} that its header says; "
            "copy or download it again"
        )
        raise VolumeError(msg)
    if header.offset > _LARGEST_OFFSET:
        msg = f"voxels would start at byte {header.offset}"
        raise HeaderDataError(msg)
    if path.suffix.lower() != ".gz":
        refuse_trailing(path, found - needed)


def refuse_trailing(path: Path, n_bytes: int) -> None:
    """Refuse a file with far more data than its header says.

    Args:
        path: The file.
        n_bytes: How many bytes follow the last voxel; for a compressed file at least so many.

    Raises:
        VolumeError: They are more than `MOST_TRAILING_BYTES`.
    """
    if n_bytes > MOST_TRAILING_BYTES:
        msg = (
            f"{path} goes on for {n_bytes} bytes or more after the voxels that its header says: "
            "header and data do not fit together; convert the scan again"
        )
        raise VolumeError(msg)


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


def _one_line(exc: BaseException) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
