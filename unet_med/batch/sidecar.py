"""The JSON beside each mask: where it came from, what was measured, what a reader should know."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from unet_med import __version__
from unet_med._files import read_json, write_json
from unet_med.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from unet_med.segmenter import CaseFacts

PROGRAM = "unet_med"
SCHEMA_VERSION = 2


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a mask was made.

    Attributes:
        inputs: Path and SHA-256 of each scan file, in channel order.
        channel: Channel or frame taken of a 4D file, or None.
        bundle: Name, version, folder, SHA-256 and mirroring of the bundle, or of the ensemble and
            each of its members.
        execution: Backend, precision, device, threads and why.
        command_line: What the user typed, or how the library was called.
        fingerprint: The ledger's fingerprint of this work.
    """

    inputs: tuple[Mapping[str, str], ...]
    channel: int | None
    bundle: Mapping[str, Any]
    execution: Mapping[str, Any]
    command_line: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class MaskFile:
    """The written mask: its name, its digest and the time each stage took."""

    name: str
    sha256: str
    seconds: Mapping[str, float]


def sidecar_content(facts: CaseFacts, *, mask: MaskFile, provenance: Provenance) -> dict[str, Any]:
    """Return the sidecar's content, ready for JSON."""
    geometry = facts.geometry
    identifiers = getattr(facts.volume, "identifiers", {})  # of DICOM, for users who ask
    return {
        "schema_version": SCHEMA_VERSION,
        **({"identifiers": identifiers} if identifiers else {}),
        "program": {"name": PROGRAM, "version": __version__},
        "mask": {"file": mask.name, "sha256": mask.sha256},
        "inputs": [dict(item) for item in provenance.inputs],
        "channel": provenance.channel,
        "bundle": dict(provenance.bundle),
        "execution": dict(provenance.execution),
        "command_line": provenance.command_line,
        "host": platform.node(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": provenance.fingerprint,
        "geometry": {
            "shape": [int(size) for size in geometry.shape],
            "spacing_mm": [round(float(size), 6) for size in geometry.spacing_mm],
        },
        "label_names": {str(value): name for value, name in facts.label_names.items()},
        "volumes_ml": facts.volumes_ml,
        "quality": {
            "nonfinite_voxels": facts.nonfinite_voxels,
            "warnings": list(facts.warnings),
            **({} if facts.quality is None else facts.quality.as_dict()),
        },
        "postprocessing": None if facts.postprocessing is None else facts.postprocessing.as_dict(),
        "seconds": {stage: round(value, 4) for stage, value in mask.seconds.items()},
    }


def write_sidecar(path: Path, content: dict[str, Any]) -> None:
    """Write the sidecar whole.

    Raises:
        OutputError: It cannot be written.
    """
    write_json(path, _encodable(content))


def read_sidecar(path: Path) -> dict[str, Any]:
    """Read a sidecar of this program; empty when there is none, or it is somebody else's."""
    try:
        content = read_json(path)
        return dict(content) if content["program"]["name"] == PROGRAM else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def mask_named(content: Mapping[str, Any]) -> str:
    """Return the file name of the mask that a sidecar was written for; empty = it names none."""
    mask = content.get("mask")
    name = mask.get("file") if isinstance(mask, dict) else None
    return name if isinstance(name, str) else ""


def refuse_foreign_sidecar(path: Path) -> None:
    """Leave a JSON file alone that this program did not write, such as one of a data set.

    Raises:
        OutputError: There is such a file.
    """
    if path.exists() and not read_sidecar(path):
        msg = f"{path} was not written by this program: move it away, or use --overwrite"
        raise OutputError(msg)


def _encodable(content: Any) -> Any:  # noqa: ANN401 - parsed JSON
    """Replace what UTF-8 cannot hold: file names may be any bytes."""
    if isinstance(content, dict):
        return {key: _encodable(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_encodable(value) for value in content]
    if isinstance(content, str):
        return content.encode("utf-8", "backslashreplace").decode("utf-8")
    return content
