"""Volumes: read lazily in the file's own order, written back with their header proven."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from unet_med.volumes.across import as_planes
from unet_med.volumes.collector import MapCollector
from unet_med.volumes.dicom_names import holds_dicom, is_dicom
from unet_med.volumes.digest import InputFiles, files_of
from unet_med.volumes.formats import (
    MASK_FORMATS,
    OPENERS,
    WRITERS,
    MaskNotes,
    mask_ending,
    open_volume,
    volume_ending,
    write_labels,
)
from unet_med.volumes.limits import Limits, ReadRules, SeriesRule
from unet_med.volumes.map_names import MAP_KINDS, is_map, map_name
from unet_med.volumes.provenance import MaskProvenance
from unet_med.volumes.volume import (
    ArrayVolume,
    Volume,
    array_volume,
    one_channel,
    stack_volumes,
)

if TYPE_CHECKING:
    from unet_med.volumes.itk import from_sitk, to_sitk
    from unet_med.volumes.nifti import from_nibabel
    from unet_med.volumes.nifti_map import as_steps, write_map
    from unet_med.volumes.nifti_mask import mask_image, write_mask, write_mask_slabs
    from unet_med.volumes.verify import verify_mask

_LAZY = {  # names whose modules load nibabel or SimpleITK
    "as_steps": "nifti_map",
    "from_nibabel": "nifti",
    "from_sitk": "itk",
    "mask_image": "nifti_mask",
    "to_sitk": "itk",
    "verify_mask": "verify",
    "write_map": "nifti_map",
    "write_mask": "nifti_mask",
    "write_mask_slabs": "nifti_mask",
}

__all__ = [
    "MAP_KINDS",
    "MASK_FORMATS",
    "OPENERS",
    "WRITERS",
    "ArrayVolume",
    "InputFiles",
    "Limits",
    "MapCollector",
    "MaskNotes",
    "MaskProvenance",
    "ReadRules",
    "SeriesRule",
    "Volume",
    "array_volume",
    "as_planes",
    "as_steps",
    "files_of",
    "from_nibabel",
    "from_sitk",
    "holds_dicom",
    "is_dicom",
    "is_map",
    "map_name",
    "mask_ending",
    "mask_image",
    "one_channel",
    "open_volume",
    "stack_volumes",
    "to_sitk",
    "verify_mask",
    "volume_ending",
    "write_labels",
    "write_map",
    "write_mask",
    "write_mask_slabs",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names in _LAZY
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
