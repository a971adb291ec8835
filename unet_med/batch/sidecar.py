"""Write and read the files beside each mask: its JSON sidecar and its maps."""

from __future__ import annotations

import platform
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from unet_med._files import partial_file, publish, read_json, sha256_file, write_json
from unet_med._version import __version__
from unet_med.batch.destination import map_path, sidecar_path
from unet_med.errors import OutputError
from unet_med.volumes import MAP_KINDS, is_map

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from unet_med.segmenter import CaseReport

PROGRAM = "unet_med"


SCHEMA_VERSION = 3


@dataclass(frozen=True, slots=True)
class CaseProvenance:
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


def sidecar_content(
    case_report: CaseReport, *, mask: MaskFile, provenance: CaseProvenance
) -> dict[str, Any]:
    """Return the sidecar's content, ready for JSON."""
    geometry = case_report.geometry
    identifiers = getattr(case_report.volume, "identifiers", {})  # of DICOM, for users who ask
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
        "label_names": {str(value): name for value, name in case_report.label_names.items()},
        "volumes_ml": case_report.volumes_ml,
        "quality": {
            "nonfinite_voxels": case_report.nonfinite_voxels,
            "warnings": list(case_report.warnings),
            **({} if case_report.quality is None else case_report.quality.as_dict()),
        },
        "postprocessing": None
        if case_report.postprocessing is None
        else case_report.postprocessing.as_dict(),
        "seconds": {stage: round(value, 4) for stage, value in mask.seconds.items()},
    }


def write_sidecar(path: Path, content: dict[str, Any]) -> None:
    """Write the sidecar whole.

    Raises:
        OutputError: It cannot be written.
    """
    write_json(path, _encodable(content))


def read_sidecar(path: Path) -> dict[str, Any]:
    """Read a sidecar of this program; empty when there is none, or it is somebody else's.

    Example:
        >>> from pathlib import Path
        >>> read_sidecar(Path("no_such_file.json"))
        {}
    """
    try:
        content = read_json(path)
        return dict(content) if content["program"]["name"] == PROGRAM else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def mask_file_name(content: Mapping[str, Any]) -> str:
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


@contextmanager
def partial_files(mask: Path, kinds: Sequence[str]) -> Iterator[tuple[Path, dict[str, Path]]]:
    """Yield hidden siblings of a mask and of its maps by kind, as `partial_file` does.

    Raises:
        OutputError: The folder or a file cannot be written.
    """
    with ExitStack() as stack:
        partial = stack.enter_context(partial_file(mask))
        maps = {
            kind: stack.enter_context(partial_file(map_path(mask, kind)))
            for kind in dict.fromkeys(kinds)
        }
        yield partial, maps


def maps_content(mask: Path, maps: Mapping[str, Path]) -> dict[str, Any]:
    """Return what the sidecar says of maps: file name and SHA-256 by kind; nothing without any."""
    files = {
        kind: {"file": map_path(mask, kind).name, "sha256": sha256_file(path)}
        for kind, path in maps.items()
    }
    return {"maps": files} if files else {}


def has_maps(mask: Path, kinds: Sequence[str]) -> bool:
    """Return whether the maps wanted lie beside a mask as they were written."""
    if not kinds:
        return True
    known = read_sidecar(sidecar_path(mask)).get("maps", {})
    try:
        return all(
            known.get(kind, {}).get("sha256") == sha256_file(map_path(mask, kind)) for kind in kinds
        )
    except OSError:
        return False


def refuse_foreign_maps(mask: Path, kinds: Sequence[str]) -> None:
    """Leave a file alone that has a map's name and that this program did not write.

    Raises:
        OutputError: There is such a file.
    """
    for kind in kinds:
        path = map_path(mask, kind)
        if path.exists() and not is_map(path):
            msg = f"{path} was not written by this program: move it away, or use --overwrite"
            raise OutputError(msg)


def replace_maps(mask: Path, maps: Mapping[str, Path]) -> None:
    """Give finished maps their names, and remove those of an older mask.

    Raises:
        OutputError: A map cannot be renamed.
    """
    for kind in MAP_KINDS:
        target = map_path(mask, kind)
        if kind in maps:
            publish(maps[kind], target)
        elif is_map(target):
            with suppress(OSError):
                target.unlink()
