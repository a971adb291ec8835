"""Which files are DICOM, told without a DICOM library."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ENDINGS = (".dcm", ".dicom", ".ima")
"""A file that ends so is taken for DICOM whatever it holds, so that a damaged one is reported."""

_NEVER = {
    ".json", ".txt", ".csv", ".tsv", ".xml", ".html", ".md", ".pdf", ".log", ".yaml", ".yml",
    ".png", ".jpg", ".jpeg", ".gz", ".nii", ".hdr", ".img", ".nrrd", ".mha", ".mhd", ".raw",
    ".mgz", ".mgh", ".zip", ".py", ".bval", ".bvec",
}  # fmt: skip
"""Endings of what lies beside scans; these files are not opened."""

_PREAMBLE_BYTES = 128
_MAGIC = b"DICM"


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its ending or by the four bytes after its preamble.

    DICOM files often have no ending, or a number for one.
    """
    if path.suffix.lower() in _NEVER or not path.is_file():
        return False
    if path.name.lower().endswith(ENDINGS):
        return True
    try:
        with path.open("rb") as stream:
            start = stream.read(_PREAMBLE_BYTES + len(_MAGIC))
    except OSError:
        return False
    return start[_PREAMBLE_BYTES:] == _MAGIC


def dicom_files(folder: Path) -> list[Path]:
    """Return the DICOM files that lie in a folder itself, by name; hidden files are passed over."""
    names = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    return [path for path in names if is_dicom(path)]


def holds_dicom(folder: Path) -> bool:
    """Whether a folder itself holds a DICOM file."""
    return any(is_dicom(path) for path in folder.iterdir() if not path.name.startswith("."))
