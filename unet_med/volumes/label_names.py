"""What a mask file says about itself in its header: names of labels, and how it was made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nibabel.nifti1 import Nifti1Extension

from unet_med.errors import VolumeError
from unet_med.volumes.extensions import read_extensions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from unet_med.volumes.provenance import MaskProvenance

_COMMENT = 6  # NIfTI's code for extensions of plain text
_KEY = "unet_med"


def notes_text(
    label_names: Mapping[int, str], provenance: MaskProvenance | None, *, kind: str | None = None
) -> str:
    """Return the JSON text that a mask, or with a ``kind`` a map, carries in its header."""
    ordered = sorted(label_names.items()) if kind is None else label_names.items()
    notes: dict[str, Any] = {} if kind is None else {"map": kind}
    notes["labels"] = {str(value): name for value, name in ordered}  # a map's in its own order
    if provenance is not None:
        notes["provenance"] = provenance.as_dict()
    return json.dumps({_KEY: notes}, ensure_ascii=False)


def notes_extension(
    label_names: Mapping[int, str],
    provenance: MaskProvenance | None = None,
    *,
    kind: str | None = None,
) -> Nifti1Extension:
    """Return a NIfTI comment extension that holds label names and provenance as JSON."""
    return Nifti1Extension("comment", notes_text(label_names, provenance, kind=kind).encode())


def read_notes(path: Path) -> dict[str, Any]:
    """Read what a NIfTI mask of this program carries: ``labels`` and ``provenance``.

    Returns:
        The notes; empty when the file carries none, or is no NIfTI file.
    """
    try:
        extensions = read_extensions(path)
    except VolumeError:
        return {}
    ours = (_notes_in(content) for code, content in extensions if code == _COMMENT)
    return next(filter(None, ours), {})


def read_label_names(path: Path) -> dict[int, str]:
    """Return the name per label value that a mask file carries; empty when it carries none."""
    try:
        return {int(value): str(name) for value, name in read_notes(path)["labels"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _notes_in(content: bytes) -> dict[str, Any]:
    """Return the notes in the text of an extension; empty when it is somebody else's."""
    try:
        notes = json.loads(content.rstrip(b"\0").decode())[_KEY]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}
