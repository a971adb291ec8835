"""Masks as NIfTI files that carry the scan's header, proven by reading them back."""

from __future__ import annotations

import hashlib
import io
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from unet_med._files import atomic_path
from unet_med.errors import GeometryError, OutputError, VolumeError
from unet_med.geometry import grid_difference
from unet_med.volumes.gzip_stream import gzip_writer, open_stream
from unet_med.volumes.mask_header import header_differences, label_dtype, mask_header
from unet_med.volumes.nifti_header import read_header, reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.volumes.formats import MaskNotes
    from unet_med.volumes.provenance import MaskProvenance
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
    """
    dtype = label_dtype(labels, like=like, label_names=label_names)
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
    """Write a mask with the scan's header, and prove it before it appears.

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
    """
    dtype = label_dtype(labels, like=like, label_names=label_names)
    step = max(1, _BLOCK_BYTES // (labels.shape[0] * labels.shape[1] * dtype.itemsize))
    slabs = (labels[..., k : k + step] for k in range(0, labels.shape[2], step))
    notes: dict[str, Any] = {"label_names": label_names, "provenance": provenance}
    write_mask_slabs(slabs, path, like=like, dtype=dtype, **notes)


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
    """
    header = mask_header(like, dtype=dtype, label_names=label_names, provenance=provenance)
    write_proven(slabs, path, header=header, like=like)


def write_proven(
    slabs: Iterable[NDArray[Any]],
    path: Path,
    *,
    header: nib.Nifti1Header,
    like: Volume,
    n_volumes: int = 1,
) -> None:
    """Write voxels under a header made of the scan's, and prove both before the file appears.

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
        digest = _write(partial, start, blocks)
        _prove(partial, start, digest=digest, like=like, target=path)


def write_nifti_labels(
    slabs: Iterable[NDArray[Any]],
    path: Path,
    *,
    like: Volume,
    dtype: np.dtype[Any],
    notes: MaskNotes,
) -> None:
    """Write a mask with its notes; see `write_mask_slabs`."""
    names, provenance = notes.label_names, notes.provenance
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


def _write(path: Path, start: bytes, blocks: Iterator[bytes]) -> str:
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


def _prove(partial: Path, start: bytes, *, digest: str, like: Volume, target: Path) -> None:
    """Read a written mask back and compare it with what was meant and with the scan.

    Raises:
        OutputError: The bytes differ.
        GeometryError: The grid or a header field differs from the scan's.
    """
    found = hashlib.sha256()
    try:
        with reading(partial), open_stream(partial) as stream:
            same_start = stream.read(len(start)) == start
            while block := stream.read(_BLOCK_BYTES):
                found.update(block)
    except VolumeError as exc:
        msg = f"cannot write {target}: it could not be read back; check the disk and free space"
        raise OutputError(msg) from exc
    if not same_start or found.hexdigest() != digest:
        msg = f"cannot write {target}: it was read back with other bytes; check the disk"
        raise OutputError(msg)
    mask = read_header(partial)
    differences = header_differences(like.nifti_header, mask.raw)
    apart = grid_difference(like.geometry, mask.geometry)
    if differences or apart:
        reasons = "; ".join([*differences, *([apart] if apart else [])])
        msg = f"a NIfTI mask cannot keep the place of {like.name}: {reasons}"
        raise GeometryError(msg)
