"""Volumes: read lazily in the file's own order, written back with their header verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet_med._lazy import lazy_exports
from unet_med.volumes.dicom_series import holds_dicom, is_dicom
from unet_med.volumes.formats import (
    MASK_FORMATS,
    OPENERS,
    WRITERS,
    mask_ending,
    open_volume,
    volume_ending,
    write_labels,
)
from unet_med.volumes.input_files import InputFiles, digest_inputs
from unet_med.volumes.limits import Limits, ReadOptions, SeriesSelection
from unet_med.volumes.mask_metadata import MAP_KINDS, MaskMetadata, MaskProvenance, is_map, map_name
from unet_med.volumes.reslice import MapBuffer, reslice_to_planes
from unet_med.volumes.volume import (
    ArrayVolume,
    Volume,
    from_array,
    select_channel,
    stack_volumes,
)

if TYPE_CHECKING:
    from unet_med.volumes.nifti import from_nibabel
    from unet_med.volumes.nifti_writer import (
        mask_image,
        quantize_map,
        write_map,
        write_mask,
        write_mask_slabs,
    )
    from unet_med.volumes.simpleitk import from_sitk, to_sitk
    from unet_med.volumes.verification import verify_mask

_LAZY = {  # names whose modules load nibabel or SimpleITK
    "from_nibabel": "nifti",
    "from_sitk": "simpleitk",
    "mask_image": "nifti_writer",
    "quantize_map": "nifti_writer",
    "to_sitk": "simpleitk",
    "verify_mask": "verification",
    "write_map": "nifti_writer",
    "write_mask": "nifti_writer",
    "write_mask_slabs": "nifti_writer",
}

__all__ = [
    "MAP_KINDS",
    "MASK_FORMATS",
    "OPENERS",
    "WRITERS",
    "ArrayVolume",
    "InputFiles",
    "Limits",
    "MapBuffer",
    "MaskMetadata",
    "MaskProvenance",
    "ReadOptions",
    "SeriesSelection",
    "Volume",
    "digest_inputs",
    "from_array",
    "from_nibabel",
    "from_sitk",
    "holds_dicom",
    "is_dicom",
    "is_map",
    "map_name",
    "mask_ending",
    "mask_image",
    "open_volume",
    "quantize_map",
    "reslice_to_planes",
    "select_channel",
    "stack_volumes",
    "to_sitk",
    "verify_mask",
    "volume_ending",
    "write_labels",
    "write_map",
    "write_mask",
    "write_mask_slabs",
]

__getattr__, __dir__ = lazy_exports(__name__, _LAZY)
