"""Write masks and maps as NIfTI files with the scan's header, verified by reading them back."""

from __future__ import annotations

import hashlib
import io
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from unet_med._files import atomic_path
from unet_med.errors import GeometryError, OutputError
from unet_med.volumes.file_io import gzip_writer
from unet_med.volumes.mask_header import mask_dtype, mask_header, metadata_extension
from unet_med.volumes.verification import verify_written_nifti

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.volumes.mask_metadata import MaskMetadata, MaskProvenance
    from unet_med.volumes.volume import Volume

_BLOCK_BYTES = 1 << 22


def mask_image(
    labels: NDArray[Any],
    *,
    like: Volume,
    label_names: Mapping[int, str],
    provenance: MaskProvenance | None = None,
) -> nib.Nifti1Image:
    """Make the NIfTI image of a mask in memory.

    Args:
        labels: Label values, (i, j, k), integers from 0.
        like: The scan.
        label_names: Name per value; written into a header extension.
        provenance: How the mask was made; written there too.

    Returns:
        A ``Nifti1Image``, or a ``Nifti2Image`` for a NIfTI-2 scan.

    Raises:
        GeometryError: The labels are not on the scan's grid.
        LabelError: The labels are no integers from 0.

    Example:
        >>> from unet_med.volumes import from_array
        >>> scan = from_array(np.zeros((4, 5, 6)), np.eye(4))
        >>> mask_image(np.ones((4, 5, 6), int), like=scan, label_names={1: "csf"}).get_data_dtype()
        dtype('uint8')
    """
    dtype = mask_dtype(labels, like=like, label_names=label_names)
    header = mask_header(like, dtype=dtype, label_names=label_names, provenance=provenance)
    extensions = list(header.extensions)
    checked = type(header)(header.binaryblock, extensions=extensions)  # mended as on loading
    image_class = nib.Nifti2Image if isinstance(checked, nib.Nifti2Header) else nib.Nifti1Image
    voxels = np.array(labels, dtype=dtype).reshape(checked.get_data_shape())
    return image_class(voxels, checked.get_best_affine(), checked)


def write_mask(
    labels: NDArray[Any],
    path: Path,
    *,
    like: Volume,
    label_names: Mapping[int, str],
    provenance: MaskProvenance | None = None,
) -> None:
    """Write a mask with the scan's header, and verify it before it appears.

    The file is written under another name, flushed and read back. Its header must be the one
    meant, equal to the scan's in every field of `mask_header.GEOMETRY_FIELDS`, and lie on the
    scan's grid; its voxels must have the digest of those written. Only then is it renamed.
    Equal labels give equal bytes: gzip's time stamp is 0 and no file name is stored.

    Args:
        labels: Label values, (i, j, k), integers from 0.
        path: The target, ending in .nii.gz or .nii; its folder is created.
        like: The scan. A volume without a NIfTI header gets a fresh one, sform code 1.
        label_names: Name per value; written into a header extension. Fixes the voxel type, the
            smallest unsigned one that holds every value.
        provenance: How the mask was made; written there too.

    Raises:
        GeometryError: The labels are not on the scan's grid, or the scan's affine does not
            survive in the header.
        LabelError: The labels are no integers from 0.
        OutputError: The file cannot be written, or what was read back is not what was written.

    Example:
        >>> import pathlib, tempfile
        >>> from unet_med.volumes import from_array
        >>> scan = from_array(np.zeros((4, 5, 6)), np.eye(4))
        >>> labels = np.ones((4, 5, 6), int)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "mask.nii.gz")
        ...     write_mask(labels, path, like=scan, label_names={1: "csf"})
        ...     nib.load(path).shape
        (4, 5, 6)
    """
    dtype = mask_dtype(labels, like=like, label_names=label_names)
    step = max(1, _BLOCK_BYTES // (labels.shape[0] * labels.shape[1] * dtype.itemsize))
    slabs = (labels[..., k : k + step] for k in range(0, labels.shape[2], step))
    metadata: dict[str, Any] = {"label_names": label_names, "provenance": provenance}
    write_mask_slabs(slabs, path, like=like, dtype=dtype, **metadata)


def write_mask_slabs(
    slabs: Iterable[NDArray[Any]],
    path: Path,
    *,
    like: Volume,
    dtype: np.dtype[Any],
    label_names: Mapping[int, str],
    provenance: MaskProvenance | None = None,
) -> None:
    """Write a mask slab by slab, so that it is never whole in memory; otherwise `write_mask`.

    Args:
        slabs: Label values (i, j, n), the n adding up to the scan's third side, in the file's
            own order. They are asked for while the file is written.
        path: The target, ending in .nii.gz or .nii; its folder is created.
        like: The scan.
        dtype: Unsigned type of the labels; no value is checked against it.
        label_names: Name per value.
        provenance: How the mask was made.

    Raises:
        GeometryError: The slabs are not the scan's grid, or the scan's affine does not survive
            in the header.
        OutputError: The file cannot be written, or what was read back is not what was written.

    Example:
        >>> import pathlib, tempfile
        >>> from unet_med.volumes import from_array
        >>> scan = from_array(np.zeros((4, 5, 6)), np.eye(4))
        >>> slabs = (np.ones((4, 5, 2), np.uint8) for _ in range(3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path, dtype = pathlib.Path(folder, "mask.nii.gz"), np.dtype(np.uint8)
        ...     write_mask_slabs(slabs, path, like=scan, dtype=dtype, label_names={1: "csf"})
        ...     nib.load(path).shape
        (4, 5, 6)
    """
    header = mask_header(like, dtype=dtype, label_names=label_names, provenance=provenance)
    write_verified(slabs, path, header=header, like=like)


def write_verified(
    slabs: Iterable[NDArray[Any]],
    path: Path,
    *,
    header: nib.Nifti1Header,
    like: Volume,
    n_volumes: int = 1,
) -> None:
    """Write voxels under a header made of the scan's, and verify both before the file appears.

    Args:
        slabs: Voxels (i, j, n) as stored, in the file's own order, volume after volume.
        path: As for `write_mask_slabs`.
        header: From `mask_header`.
        like: The scan.
        n_volumes: Volumes of the scan's shape.

    Raises:
        GeometryError, OutputError: As for `write_mask_slabs`.
    """
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        msg = f"cannot write {path}: a mask is a NIfTI file; end its name in .nii.gz or .nii"
        raise OutputError(msg)
    stream = io.BytesIO()
    header.write_to(stream)
    start, dtype = stream.getvalue(), header.get_data_dtype()
    with atomic_path(path) as partial:
        blocks = _blocks(slabs, dtype, like=like, n_volumes=n_volumes)
        digest = _write_blocks(partial, start, blocks)
        verify_written_nifti(partial, start, digest=digest, like=like, target=path)


def write_nifti(
    slabs: Iterable[NDArray[Any]],
    path: Path,
    *,
    like: Volume,
    dtype: np.dtype[Any],
    metadata: MaskMetadata,
) -> None:
    """Write a mask with its metadata; see `write_mask_slabs`."""
    names, provenance = metadata.label_names, metadata.provenance
    write_mask_slabs(slabs, path, like=like, dtype=dtype, label_names=names, provenance=provenance)


def _blocks(
    slabs: Iterable[NDArray[Any]], dtype: np.dtype[Any], *, like: Volume, n_volumes: int
) -> Iterator[bytes]:
    """Yield the voxels as NIfTI stores them, first axis fastest, and check that all came."""
    planes, n_planes = like.geometry.shape[:2], 0
    wanted = like.geometry.shape[2] * n_volumes
    for slab in slabs:
        n_planes += slab.shape[2] if slab.shape[:2] == planes else wanted + 1
        yield np.asarray(slab, dtype=dtype).tobytes(order="F")
    if n_planes != wanted:
        msg = f"the slabs do not add up to the grid of {like.name}, {like.geometry.shape}"
        raise GeometryError(msg)


def _write_blocks(path: Path, start: bytes, blocks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    with _writable(path) as stream:
        stream.write(start)
        for block in blocks:
            digest.update(block)
            stream.write(block)
    return digest.hexdigest()


@contextmanager
def _writable(path: Path) -> Iterator[IO[bytes]]:
    with path.open("wb") as plain:
        if path.suffix.lower() != ".gz":
            yield plain
            return
        with gzip_writer(plain) as stream:
            yield stream


QUANTIZATION_STEPS = 255
"""Maps are stored as whole 255ths with the slope 1/255 in the header.

NIfTI has no half-precision type. 0 … 255 in one byte is as fine as any use of a probability
(rounding ±0.002), takes a quarter of float32, and every reader applies the slope.
"""

_INTENT_ESTIMATE = 1001
"""NIfTI's intent code for "an estimate of the parameter named in intent_name"."""


def quantize_map(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return values in 0 … 1 as whole 255ths.

    Example:
        >>> quantize_map(np.array([0.0, 0.5, 1.0], np.float32)).tolist()
        [0, 128, 255]
    """
    return np.asarray(np.rint(values * np.float32(QUANTIZATION_STEPS)), np.uint8)


def write_map(
    slabs: Iterable[NDArray[np.uint8]],
    path: Path,
    *,
    like: Volume,
    kind: str,
    label_names: Mapping[int, str],
    provenance: MaskProvenance | None = None,
) -> None:
    """Write a map slab by slab, with the scan's header, read back and verified as a mask is.

    Args:
        slabs: Whole 255ths (i, j, n) in the file's own order; for ``probabilities`` label after
            label, in the order of ``label_names``.
        path: The target, ending in .nii.gz or .nii.
        like: The scan.
        kind: One of `mask_metadata.MAP_KINDS`. ``probabilities`` has one volume per label along the
            fourth axis; what is missing to 1 is background.
        label_names: Name per value, written into a header extension.
        provenance: How the map was made, written there too.

    Raises:
        GeometryError: The slabs are not the scan's grid, or its affine does not survive.
        OutputError: The file cannot be written, or what was read back is not what was written.

    Example:
        >>> import pathlib, tempfile
        >>> from unet_med.volumes import from_array
        >>> scan = from_array(np.zeros((4, 5, 6)), np.eye(4))
        >>> slabs = [quantize_map(np.full((4, 5, 6), 0.2, np.float32))]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "a.entropy.nii.gz")
        ...     write_map(slabs, path, like=scan, kind="entropy", label_names={1: "csf"})
        ...     round(float(nib.load(path).get_fdata().max()), 3)
        0.2
    """
    header = mask_header(like, dtype=np.dtype(np.uint8), label_names=label_names)
    _describe_map(header, kind, label_names, provenance)
    n_volumes = len(label_names) if kind == "probabilities" else 1
    write_verified(slabs, path, header=header, like=like, n_volumes=n_volumes)


def _describe_map(
    header: nib.Nifti1Header,
    kind: str,
    label_names: Mapping[int, str],
    provenance: MaskProvenance | None,
) -> None:
    """Turn a mask's header into a map's: scaling, intent, fourth axis and metadata."""
    header["scl_slope"] = 1.0 / QUANTIZATION_STEPS
    header["cal_max"] = 1.0
    header["intent_code"] = _INTENT_ESTIMATE
    header["intent_name"] = kind.encode()
    if kind == "probabilities":
        dims = header["dim"].copy()
        dims[0], dims[4] = 4, len(label_names)
        header["dim"] = dims
    header.extensions[:] = [metadata_extension(label_names, provenance, kind=kind)]
