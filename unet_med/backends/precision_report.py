"""The exported models beside a bundle's weights, and the report of their precision."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unet_med._files import read_json, sha256_file, write_json
from unet_med.errors import BundleError

FOLDER = "openvino"
"""Name of the folder beside ``model.pt``."""

ONNX = Path("models/model.onnx")
"""Where a bundle's ONNX model lies; nothing here reads it, other programs do."""

PRECISION_REPORT = "precision_report.json"
MODELS = {"fp32": "model", "bf16": "model", "int8": "model_int8"}
"""Precision to the stem of its model; bf16 is the fp32 model run in bf16."""

SCHEMA_VERSION = 2
ADVICE = "run unet-med export"


@dataclass(frozen=True, slots=True)
class PrecisionReport:
    """What an export was made from, and what was measured.

    Attributes:
        weights_sha256: Digest of the ``model.pt`` that it was made from.
        files: File name to SHA-256, for every model file.
        versions: Name to version of what made it.
        calibration: What int8 was calibrated on; empty without int8.
        precisions: One JSON object per backend and precision.
        processor: Name of the processor that measured.
    """

    weights_sha256: str
    files: dict[str, str]
    versions: dict[str, str] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    precisions: list[dict[str, Any]] = field(default_factory=list)
    processor: str = ""

    def save(self, folder: Path) -> None:
        """Write ``precision_report.json`` atomically."""
        write_json(folder / PRECISION_REPORT, {"schema_version": SCHEMA_VERSION, **asdict(self)})


def export_folder(weights: Path) -> Path:
    """Return where the export of these weights lies."""
    return weights.parent / FOLDER


def load_precision_report(weights: Path, precision: str = "fp32") -> PrecisionReport:
    """Return the precision report of an export that fits the weights and has the precision.

    Args:
        weights: The bundle's ``models/model.pt``.
        precision: ``fp32``, ``bf16`` or ``int8``.

    Raises:
        BundleError: There is no export, it is foreign, it was made from other weights, or it
            lacks the precision.
    """
    folder = export_folder(weights)
    report = _read_report(folder)
    if report.weights_sha256 != sha256_file(weights):
        msg = (
            f"the OpenVINO export in {folder} is stale: it was made from other weights than "
            f"{weights.name}; {ADVICE}"
        )
        raise BundleError(msg)
    missing = [name for name in model_files(precision) if name not in report.files]
    if missing:
        how = "run unet-med export --int8 FOLDER" if precision == "int8" else ADVICE
        msg = f"the OpenVINO export in {folder} has no {precision} model; {how}"
        raise BundleError(msg)
    return report


def export_problem(weights: Path) -> str:
    """Return why an export cannot be used; empty = it can."""
    try:
        load_precision_report(weights)
    except BundleError as exc:
        return str(exc)
    return ""


def verified_model(weights: Path, precision: str) -> Path:
    """Return the ``.xml`` of an export whose files are those that the precision report names.

    Raises:
        BundleError: As ``load_precision_report``, or a model file is missing or was changed.
    """
    report = load_precision_report(weights, precision)
    folder = export_folder(weights)
    for name in model_files(precision):
        path = folder / name
        if not path.is_file() or sha256_file(path) != report.files[name]:
            msg = f"{path} is not the file that the export wrote; {ADVICE}"
            raise BundleError(msg)
    return folder / model_files(precision)[0]


def model_sha256(report: PrecisionReport, precision: str) -> str:
    """Return one digest of a precision's model files."""
    parts = [report.files[name] for name in model_files(precision)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def model_files(precision: str) -> tuple[str, str]:
    """Return the names of a precision's graph and its weights."""
    return f"{MODELS[precision]}.xml", f"{MODELS[precision]}.bin"


def _read_report(folder: Path) -> PrecisionReport:
    path = folder / PRECISION_REPORT
    if not path.is_file():
        found = "is foreign: it has no precision report" if folder.is_dir() else "does not exist"
        msg = f"the OpenVINO export {folder} {found}; {ADVICE}"
        raise BundleError(msg)
    try:
        content = read_json(path)
        version = content.pop("schema_version")
        report = PrecisionReport(**content)
        fits = version == SCHEMA_VERSION and _is_text(report)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        fits, report = False, None
    if not fits or report is None:
        msg = f"{path} is not a precision report that this version understands; {ADVICE}"
        raise BundleError(msg)
    return report


def _is_text(report: PrecisionReport) -> bool:
    """Tell whether digests and file names are text, whatever the file says."""
    files: Any = report.files
    if not isinstance(files, dict) or not isinstance(report.weights_sha256, str):
        return False
    return all(isinstance(text, str) for item in files.items() for text in item)
