"""Maps of how sure the network is, as NIfTI files on the scan's own grid, proven like masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unet_med.volumes.label_names import notes_extension
from unet_med.volumes.mask_header import mask_header
from unet_med.volumes.nifti_mask import write_proven

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import nibabel as nib
    from numpy.typing import NDArray

    from unet_med.volumes.provenance import MaskProvenance
    from unet_med.volumes.volume import Volume

STEPS = 255
"""Maps are stored as whole 255ths with the slope 1/255 in the header.

NIfTI has no half-precision type. 0 … 255 in one byte is as fine as any use of a probability
(rounding ±0.002), takes a quarter of float32, and every reader applies the slope.
"""

_INTENT_ESTIMATE = 1001
"""NIfTI's intent code for "an estimate of the parameter named in intent_name"."""


def as_steps(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return values in 0 … 1 as whole 255ths."""
    return np.asarray(np.rint(values * np.float32(STEPS)), np.uint8)


def write_map(
    slabs: Iterable[NDArray[np.uint8]],
    path: Path,
    *,
    like: Volume,
    kind: str,
    label_names: Mapping[int, str],
    provenance: MaskProvenance | None = None,
) -> None:
    """Write a map slab by slab, with the scan's header, read back and proven as a mask is.

    Args:
        slabs: Whole 255ths (i, j, n) in the file's own order; for ``probabilities`` label after
            label, in the order of ``label_names``.
        path: The target, ending in .nii.gz or .nii.
        like: The scan.
        kind: One of `map_names.MAP_KINDS`. ``probabilities`` has one volume per label along the
            fourth axis; what is missing to 1 is background.
        label_names: Name per value, written into a header extension.
        provenance: How the map was made, written there too.

    Raises:
        GeometryError: The slabs are not the scan's grid, or its affine does not survive.
        OutputError: The file cannot be written, or what was read back is not what was written.
    """
    header = mask_header(like, dtype=np.dtype(np.uint8), label_names=label_names)
    _describe(header, kind, label_names, provenance)
    n_volumes = len(label_names) if kind == "probabilities" else 1
    write_proven(slabs, path, header=header, like=like, n_volumes=n_volumes)


def _describe(
    header: nib.Nifti1Header,
    kind: str,
    label_names: Mapping[int, str],
    provenance: MaskProvenance | None,
) -> None:
    """Turn a mask's header into a map's: scaling, intent, fourth axis and notes."""
    header["scl_slope"] = 1.0 / STEPS
    header["cal_max"] = 1.0
    header["intent_code"] = _INTENT_ESTIMATE
    header["intent_name"] = kind.encode()
    if kind == "probabilities":
        dims = header["dim"].copy()
        dims[0], dims[4] = 4, len(label_names)
        header["dim"] = dims
    header.extensions[:] = [notes_extension(label_names, provenance, kind=kind)]
