"""Which files are maps beside a mask, and so neither scans nor masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAP_KINDS = ("probabilities", "uncertainty", "entropy")
"""What can be saved beside a mask, each as ``<id>.<kind>.nii.gz``."""

_ENDINGS = tuple(f".{kind}{ending}" for kind in MAP_KINDS for ending in (".nii.gz", ".nii"))


def map_name(case_id: str, kind: str) -> str:
    """Return the file name of a map, a NIfTI file whatever the mask is.

    Example:
        >>> map_name("a", "entropy")
        'a.entropy.nii.gz'
    """
    return f"{case_id}.{kind}.nii.gz"


def is_map(path: Path) -> bool:
    """Return whether a file is a map that this program wrote.

    Only a file that is named like one is opened.
    """
    if not path.name.lower().endswith(_ENDINGS):
        return False
    from unet_med.volumes.label_names import read_notes  # loads nibabel, which finding need not

    return read_notes(path).get("map") in MAP_KINDS
