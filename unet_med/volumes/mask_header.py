"""NIfTI headers of masks: the scan's geometry fields; label names and provenance as extension."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Extension

from unet_med.errors import GeometryError, LabelError, VolumeError
from unet_med.volumes.file_io import open_stream, translate_read_errors
from unet_med.volumes.nifti_header import header_and_data_paths, header_class, read_header

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.geometry import Geometry
    from unet_med.volumes.mask_metadata import MaskProvenance
    from unet_med.volumes.volume import Volume

MAX_EXTENSION_BYTES = 1 << 24
"""Extensions behind this many bytes are not looked at."""

_EXTENSION_HEADER_BYTES = 8  # length and code, in front of each extension's content

_FLAG_BYTES = 4


def read_extensions(path: Path) -> list[tuple[int, bytes]]:
    """Return code and content of each header extension of a .nii, .nii.gz or .hdr file.

    Reading ends without a word at the first length that cannot be.

    Raises:
        VolumeError: The file cannot be read as NIfTI.
    """
    file, data_path = header_and_data_paths(path)
    header = read_header(file, data_path=data_path)
    start = len(header.raw)
    n_bytes = header.offset - start if data_path is None else MAX_EXTENSION_BYTES
    with translate_read_errors(file), open_stream(file) as stream:
        stream.seek(start)
        area = stream.read(min(n_bytes, MAX_EXTENSION_BYTES))
    order = "little" if int.from_bytes(header.raw[:4], "little") == start else "big"
    found: list[tuple[int, bytes]] = []
    position = _FLAG_BYTES
    while any(area[:1]) and position + _EXTENSION_HEADER_BYTES <= len(area):
        size, code = (
            int.from_bytes(area[position + n : position + n + 4], order, signed=True)  # type: ignore[arg-type]
            for n in (0, 4)
        )
        if size < _EXTENSION_HEADER_BYTES or position + size > len(area):
            break
        found.append((code, area[position + _EXTENSION_HEADER_BYTES : position + size]))
        position += size
    return found


_COMMENT = 6  # NIfTI's code for extensions of plain text

_METADATA_KEY = "unet_med"


def metadata_json(
    label_names: Mapping[int, str], provenance: MaskProvenance | None, *, kind: str | None = None
) -> str:
    """Return the JSON text that a mask, or with a ``kind`` a map, carries in its header."""
    ordered = sorted(label_names.items()) if kind is None else label_names.items()
    metadata: dict[str, Any] = {} if kind is None else {"map": kind}
    metadata["labels"] = {str(value): name for value, name in ordered}  # a map's in its own order
    if provenance is not None:
        metadata["provenance"] = provenance.as_dict()
    return json.dumps({_METADATA_KEY: metadata}, ensure_ascii=False)


def metadata_extension(
    label_names: Mapping[int, str],
    provenance: MaskProvenance | None = None,
    *,
    kind: str | None = None,
) -> Nifti1Extension:
    """Return a NIfTI comment extension that holds label names and provenance as JSON."""
    return Nifti1Extension("comment", metadata_json(label_names, provenance, kind=kind).encode())


def read_mask_metadata(path: Path) -> dict[str, Any]:
    """Read what a NIfTI mask of this program carries: ``labels`` and ``provenance``.

    Returns:
        The metadata; empty when the file carries none, or is no NIfTI file.
    """
    try:
        extensions = read_extensions(path)
    except VolumeError:
        return {}
    ours = (_parse_metadata(content) for code, content in extensions if code == _COMMENT)
    return next(filter(None, ours), {})


def read_label_names(path: Path) -> dict[int, str]:
    """Return the name per label value that a mask file carries; empty when it carries none."""
    try:
        return {int(value): str(name) for value, name in read_mask_metadata(path)["labels"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _parse_metadata(content: bytes) -> dict[str, Any]:
    """Return the metadata in the text of an extension; empty when it is somebody else's."""
    try:
        metadata = json.loads(content.rstrip(b"\0").decode())[_METADATA_KEY]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


GEOMETRY_FIELDS = (
    "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z",
)  # fmt: skip
"""Header fields that a mask has in common with its scan, to the last bit."""

INTENT_LABEL = 1002
"""NIfTI's intent code for "the voxel value is an index into a set of labels"."""

_EMPTIED_FIELDS = ("data_type", "db_name", "aux_file", "intent_name")  # may name a patient

_ZEROED_FIELDS = ("cal_max", "cal_min", "intent_p1", "intent_p2", "intent_p3", "scl_inter")

_MAX_NIFTI1_SIZE = np.iinfo(np.int16).max

_QFORM_ORTHONORMAL_TOLERANCE = 1e-6

_SCANNER_ANATOMICAL = 1  # the xform code of a fresh header

_SPATIAL_AXES = 3


def mask_dtype(
    labels: NDArray[Any], *, like: Volume, label_names: Mapping[int, str]
) -> np.dtype[Any]:
    """Return the smallest unsigned type for labels, and check that they fit their scan.

    Values that have a name count even where no voxel has them, so that all masks of one recipe
    have one type.

    Raises:
        GeometryError: The labels are not on the scan's grid.
        LabelError: The labels are no integers from 0 to 2³² - 1.
    """
    if labels.shape != like.geometry.shape:
        msg = f"labels of shape {labels.shape} do not fit {like.name}: {like.geometry.shape}"
        raise GeometryError(msg)
    if labels.dtype.kind not in "biu":
        msg = f"labels must be integers, got {labels.dtype}; round them first"
        raise LabelError(msg)
    lowest = min(int(labels.min()), *label_names, 0)
    highest = max(int(labels.max()), *label_names, 0)
    if lowest < 0 or highest > np.iinfo(np.uint32).max:
        msg = f"label values must lie in 0 … 2³² - 1, got {lowest} … {highest}; renumber them"
        raise LabelError(msg)
    return np.dtype(np.min_scalar_type(highest))


def mask_header(
    like: Volume,
    *,
    dtype: np.dtype[Any],
    label_names: Mapping[int, str],
    provenance: MaskProvenance | None = None,
) -> nib.Nifti1Header:
    """Make the header of a mask.

    Every field is the scan's, bit for bit, except: dimensions beyond the spatial ones; voxel
    type, scaling (slope 1, intercept 0) and intent; description, file names and old
    data-base fields, which may name a patient. The scan's header extensions are left out for
    the same reason; a comment extension holds label names and provenance as JSON.

    Args:
        like: The scan.
        dtype: Type of the mask's voxels.
        label_names: Name per value.
        provenance: How the mask was made.

    Returns:
        A header of the scan's NIfTI version and byte order, with the extension.
    """
    raw = like.nifti_header
    header = (
        header_from_geometry(like.geometry) if raw is None else header_class(raw)(raw, check=False)
    )
    dims = header["dim"].copy()
    dims[0] = min(dims[0], _SPATIAL_AXES)
    dims[_SPATIAL_AXES + 1 :] = 1
    header["dim"] = dims
    header.set_data_dtype(dtype)
    for field in _ZEROED_FIELDS:
        header[field] = 0
    for field in _EMPTIED_FIELDS:
        if field in header:  # NIfTI-2 has fewer
            header[field] = b""
    header["scl_slope"] = 1
    header["intent_code"] = INTENT_LABEL
    header["descrip"] = b"unet_med"
    header["magic"] = header.single_magic
    header["vox_offset"] = 0  # set to fit the extension when written
    header.extensions.append(metadata_extension(label_names, provenance))
    return header


def header_from_geometry(geometry: Geometry) -> nib.Nifti1Header:
    """Make the header of a scan that comes without one.

    The sform has code 1, and the qform too if it can express the affine; units are mm.
    """
    large = max(geometry.shape) > _MAX_NIFTI1_SIZE
    header = nib.Nifti2Header() if large else nib.Nifti1Header()
    header.set_data_shape(geometry.shape)
    header.set_zooms(geometry.spacing_mm)
    header.set_xyzt_units("mm")
    header.set_sform(geometry.voxel_to_world, code=_SCANNER_ANATOMICAL)
    directions = geometry.voxel_to_world[:3, :3] / np.asarray(geometry.spacing_mm)
    if np.abs(directions.T @ directions - np.eye(3)).max() < _QFORM_ORTHONORMAL_TOLERANCE:
        header.set_qform(geometry.voxel_to_world, code=_SCANNER_ANATOMICAL)
    return header


def header_differences(scan: bytes | None, mask: bytes) -> list[str]:
    """Say where the geometry fields of two raw headers differ, with both values.

    Args:
        scan: The scan's header; None for a scan without one, which has no fields to keep.
        mask: The mask's header.

    Returns:
        One text per field; empty when all of `GEOMETRY_FIELDS` are equal.
    """
    if scan is None:
        return []
    one, other = (header_class(raw)(raw, check=False) for raw in (scan, mask))
    return [
        f"{field} {one[field].tolist()} vs {other[field].tolist()}"
        for field in GEOMETRY_FIELDS
        if not _same_bits(one[field], other[field])
    ]


def _same_bits(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Compare numbers of either byte order and precision; equal NaNs and no signed zeros."""
    first, second = (np.asarray(values, dtype=np.float64) for values in (one, other))
    return bool(np.array_equal(first, second, equal_nan=True))
