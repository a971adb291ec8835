"""Describe bundles, masks and scans, and verify that a mask lies on its scan."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med.api.types import File, optional_path

if TYPE_CHECKING:
    from unet_med.bundle import Bundle
    from unet_med.volumes import Volume

_DIRECTIONS = (("R", "L"), ("A", "P"), ("S", "I"))
_BUNDLE_KEYS = (
    "channels",
    "labels",
    "slice_axis",
    "in_plane_spacing_mm",
    "context",
    "activation",
    "tta",
    "postprocessing",
    "network",
    "precisions",
    "fingerprint",
)
_SIDECAR_KEYS = ("command_line", "host", "written", "inputs", "execution", "seconds", "quality")


@dataclass(frozen=True)
class Verification:
    """Tell whether a mask lies on its scan; true when it does.

    Attributes:
        differences: One line per difference, with both values.

    Example:
        >>> bool(Verification()), bool(Verification(("shape (4, 5, 3) vs (4, 5, 2)",)))
        (True, False)
    """

    differences: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not self.differences

    @property
    def exit_code(self) -> int:
        """Return 0 when verified, else 1."""
        return 0 if self else 1

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready content."""
        return {"verified": bool(self), "differences": list(self.differences)}


def verify(scan: File, mask: File) -> Verification:
    """Check that a mask lies on its scan.

    Compare a mask with its scan: grid, header fields bit for bit, voxel type and label values.

    Args:
        scan: Scan that the mask was made from.
        mask: Mask to check.

    Returns:
        The differences; true when there are none.

    Raises:
        VolumeError: A file cannot be read.

    Example:
        >>> from unet_med.bundle import demo_data
        >>> image, label = (next((demo_data() / k).iterdir()) for k in ("images", "labels"))
        >>> bool(verify(image, label))
        True
    """
    from unet_med.volumes import verify_mask

    return Verification(tuple(verify_mask(Path(scan), Path(mask))))


def info(path: File | None = None) -> dict[str, Any]:
    """Describe a bundle, a mask or a scan.

    Describe a bundle (labels, network, what it was trained on, digests), a mask written by this
    program (labels, voxel counts, volumes, how it was made), a scan (grid and orientation) or a
    DICOM folder (its series).

    Args:
        path: Bundle folder, file or DICOM folder. Default: the bundle that comes with the program.

    Returns:
        JSON-ready facts.

    Raises:
        BundleError: The folder is no bundle.
        VolumeError: The file cannot be read.

    Example:
        >>> info()["slice_axis"]
        'axial'
    """
    from unet_med.bundle import open_bundle
    from unet_med.volumes import holds_dicom, open_volume

    given = optional_path(path)
    if given is None or given.is_dir():
        if given is not None and holds_dicom(given):
            return _dicom_facts(given)
        return _bundle_facts(open_bundle(given))
    volume = open_volume(given)
    metadata = _mask_metadata(volume)
    if not metadata.get("labels"):
        return _scan_facts(volume)
    names = {int(value): str(name) for value, name in metadata["labels"].items()}
    made = {"provenance": metadata.get("provenance", {}), "sidecar": _sidecar_facts(given)}
    return {**_mask_facts(volume, names), **made}


def _dicom_facts(folder: Path) -> dict[str, Any]:
    """List the series of a DICOM folder, without names, and the one that would be taken."""
    from unet_med.errors import UnetMedError
    from unet_med.volumes import open_volume
    from unet_med.volumes.dicom_series import find_series

    listed = {"folder": str(folder), "series": [str(series) for series in find_series(folder)]}
    try:
        taken = _scan_facts(open_volume(folder))
    except UnetMedError as exc:
        taken = {"warnings": [str(exc)]}
    return {**listed, **taken}


def _bundle_facts(bundle: "Bundle") -> dict[str, Any]:
    recipe = json.loads(json.dumps(bundle.recipe.to_dict()))
    return {
        "bundle": bundle.name,
        "version": bundle.version,
        "folder": str(bundle.root),
        "sha256": bundle.sha256,
        "description": bundle.metadata.get("description", ""),
        "intended_use": bundle.metadata.get("intended_use", ""),
        "data_source": bundle.metadata.get("data_source", ""),
        "eval_metrics": bundle.metadata.get("eval_metrics", {}),
        **{key: recipe[key] for key in _BUNDLE_KEYS},
        "weights": str(bundle.weights_path),
        "weights_bytes": bundle.weights_path.stat().st_size,
        "weights_sha256": recipe["weights_sha256"],
    }


def _scan_facts(volume: "Volume") -> dict[str, Any]:
    from unet_med.geometry import world_axes

    geometry = volume.geometry
    axes, flips = world_axes(geometry.voxel_to_world)
    ends = (_DIRECTIONS[axis][flip] for axis, flip in zip(axes, flips, strict=True))
    return {
        "file": volume.name,
        "shape": [int(size) for size in geometry.shape],
        "channels": volume.n_channels,
        "spacing_mm": [round(float(size), 6) for size in geometry.spacing_mm],
        "orientation": "".join(ends),
        "voxel_to_world": geometry.voxel_to_world.tolist(),
        "stored_type": volume.stored_dtype.name,
        "warnings": list(getattr(volume, "warnings", ())),
    }


def _mask_facts(volume: "Volume", names: dict[int, str]) -> dict[str, Any]:
    import numpy as np

    geometry = volume.geometry
    counts: dict[int, int] = dict.fromkeys(names, 0)
    for plane in range(geometry.shape[2]):
        voxels = volume.read(plane, plane + 1, axis=2)
        for value, count in zip(*np.unique(voxels, return_counts=True), strict=True):
            counts[int(value)] = counts.get(int(value), 0) + int(count)
    labels = {
        str(value): {
            "name": names.get(value, "unnamed"),
            "voxels": count,
            "ml": round(count * geometry.voxel_ml, 3),
        }
        for value, count in sorted(counts.items())
        if value != 0
    }
    return {**_scan_facts(volume), "labels": labels}


def _mask_metadata(volume: "Volume") -> dict[str, Any]:
    """Return what a mask of this program says about itself; empty for anything else."""
    from unet_med.volumes.mask_header import read_label_names, read_mask_metadata

    if volume.path is None or not read_label_names(volume.path):
        return {}
    return read_mask_metadata(volume.path)


def _sidecar_facts(mask: Path) -> dict[str, Any]:
    """Return what the JSON beside a mask adds; empty when there is none for this very file."""
    from unet_med._files import sha256_file
    from unet_med.batch import read_sidecar, sidecar_path

    if not mask.name.lower().endswith((".nii", ".nii.gz")):
        return {}
    content = read_sidecar(sidecar_path(mask))
    stated = content.get("mask")
    if not isinstance(stated, dict) or stated.get("sha256") != sha256_file(mask):
        return {}
    return {key: content[key] for key in _SIDECAR_KEYS if key in content}
