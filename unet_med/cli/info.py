"""``unet-med info``: what a bundle, a mask or a scan is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from unet_med.bundle import Bundle
    from unet_med.volumes import Volume

_DESCRIPTION = """\
Describe a bundle (labels, network, what it was trained on, digests), a mask written by this
program (labels, voxel counts, volumes, how it was made) a scan (grid and orientation) or a
DICOM folder (its series).
Without an argument, the bundle that comes with the program."""

_DIRECTIONS = (("R", "L"), ("A", "P"), ("S", "I"))


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "info", help="describe a bundle, a mask or a scan", description=_DESCRIPTION
    )
    parser.add_argument("path", nargs="?", type=Path, metavar="BUNDLE|FILE")
    parser.add_argument("--json", action="store_true", help="print JSON, nothing else")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Describe, as lines or as JSON."""
    content = describe(args.path)
    if args.json:
        print(json.dumps(content, indent=2))
    else:
        _print_lines(content)
    return 0


def describe(path: Path | None) -> dict[str, Any]:
    """Return JSON-ready facts about a bundle folder or a volume file.

    Raises:
        BundleError: The folder is no bundle.
        VolumeError: The file cannot be read.
    """
    if path is None or path.is_dir():
        from unet_med.volumes import holds_dicom

        if path is not None and holds_dicom(path):
            return _dicom_facts(path)
        from unet_med.bundle import open_bundle

        return _bundle_facts(open_bundle(path))
    from unet_med.volumes import open_volume

    volume = open_volume(path)
    notes = _notes(volume)
    if not notes.get("labels"):
        return _scan_facts(volume)
    names = {int(value): str(name) for value, name in notes["labels"].items()}
    made = {"provenance": notes.get("provenance", {}), "sidecar": _sidecar_facts(path)}
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


def _bundle_facts(bundle: Bundle) -> dict[str, Any]:
    recipe = json.loads(json.dumps(bundle.recipe.to_dict()))
    shown = (
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
    return {
        "bundle": bundle.name,
        "version": bundle.version,
        "folder": str(bundle.root),
        "sha256": bundle.sha256,
        "description": bundle.metadata.get("description", ""),
        "intended_use": bundle.metadata.get("intended_use", ""),
        "data_source": bundle.metadata.get("data_source", ""),
        "eval_metrics": bundle.metadata.get("eval_metrics", {}),
        **{key: recipe[key] for key in shown},
        "weights": str(bundle.weights_path),
        "weights_bytes": bundle.weights_path.stat().st_size,
        "weights_sha256": recipe["weights_sha256"],
    }


def _scan_facts(volume: Volume) -> dict[str, Any]:
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


def _mask_facts(volume: Volume, names: dict[int, str]) -> dict[str, Any]:
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


def _notes(volume: Volume) -> dict[str, Any]:
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
    shown = ("command_line", "host", "written", "inputs", "execution", "seconds", "quality")
    return {key: content[key] for key in shown if key in content}


def _print_lines(content: dict[str, Any], indent: str = "") -> None:
    """Print facts as ``key: value`` lines, leaving out what is empty."""
    for key, value in content.items():
        if _is_empty(value):
            continue
        if isinstance(value, dict) and any(isinstance(item, dict) for item in value.values()):
            print(f"{indent}{key}:")
            _print_lines(value, indent + "  ")
        else:
            print(f"{indent}{key}: {_text(value)}")


def _is_empty(value: Any) -> bool:  # noqa: ANN401 - a JSON value
    if isinstance(value, dict):
        return all(_is_empty(item) for item in value.values())
    return value in ("", None, [])


def _text(value: Any) -> str:  # noqa: ANN401 - a JSON value
    if isinstance(value, dict):
        pairs = ((key, item) for key, item in value.items() if not _is_empty(item))
        return ", ".join(f"{key} {_text(item)}" for key, item in pairs)
    if isinstance(value, list):
        separator = "; " if any(isinstance(item, dict | list) for item in value) else " "
        return separator.join(_text(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
