"""Names of labels that a mask file carries in its header."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import nibabel as nib
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

if TYPE_CHECKING:
    from pathlib import Path


def read_label_names(path: Path) -> dict[int, str]:
    """Read the names that `write_mask` puts into a NIfTI header extension.

    Args:
        path: A mask file of any format.

    Returns:
        Name per label value; empty when the file carries none or cannot say.
    """
    try:
        extensions = getattr(nib.load(path).header, "extensions", [])
    except (OSError, ImageFileError, HeaderDataError, ValueError):
        return {}
    for extension in extensions:
        names = _names_in(extension.get_content())
        if names:
            return names
    return {}


def _names_in(content: Any) -> dict[int, str]:  # noqa: ANN401 - whatever an extension holds
    try:
        text = content if isinstance(content, str) else bytes(content).decode()
        labels = json.loads(text.rstrip("\0"))["unet_med"]["labels"]
        return {int(value): str(name) for value, name in labels.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}  # an extension of another program
