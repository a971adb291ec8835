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

    from nibabel.filebasedimages import FileBasedHeader

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
    return _first_notes(content for code, content in extensions if code == _COMMENT)


def read_label_names(path: Path) -> dict[int, str]:
    """Return the name per label value that a mask file carries; empty when it carries none."""
    return _names(read_notes(path))


def label_names_of(header: FileBasedHeader) -> dict[int, str]:
    """Return the label names in a header that nibabel read; empty when there are none."""
    contents = (extension.get_content() for extension in getattr(header, "extensions", ()))
    return _names(_first_notes(contents))


def notes_in(content: Any) -> dict[str, Any]:  # noqa: ANN401 - text or bytes of any origin
    """Return the notes in the text of an extension; empty when it is somebody else's."""
    try:
        text = content if isinstance(content, str) else bytes(content).rstrip(b"\0").decode()
        notes = json.loads(text)[_KEY]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}


def _first_notes(contents: Any) -> dict[str, Any]:  # noqa: ANN401 - nibabel is untyped
    return next(filter(None, map(notes_in, contents)), {})


def _names(notes: Mapping[str, Any]) -> dict[int, str]:
    try:
        return {int(value): str(name) for value, name in notes["labels"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
