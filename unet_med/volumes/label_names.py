"""Names of labels that a mask file carries in its header."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import nibabel as nib
from nibabel.filebasedimages import FileBasedHeader, ImageFileError
from nibabel.nifti1 import Nifti1Extension

from unet_med.errors import VolumeError
from unet_med.volumes.nifti_header import reading

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def label_names_extension(label_names: Mapping[int, str]) -> Nifti1Extension:
    """Return a NIfTI comment extension that holds label names as JSON."""
    names = {str(value): name for value, name in sorted(label_names.items())}
    text = json.dumps({"unet_med": {"labels": names}}, ensure_ascii=False)
    return Nifti1Extension("comment", text.encode())


def label_names_of(header: FileBasedHeader) -> dict[int, str]:
    """Return the label names that a header carries; empty when there are none."""
    for extension in getattr(header, "extensions", ()):
        content = extension.get_content()
        try:
            text = content if isinstance(content, str) else bytes(content).decode()
            names = json.loads(text)["unet_med"]["labels"]
            return {int(value): str(name) for value, name in names.items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # somebody else's extension
    return {}


def read_label_names(path: Path) -> dict[int, str]:
    """Read the label names that a mask file carries.

    Args:
        path: A mask file of any format.

    Returns:
        Name per label value; empty when the file carries none or cannot say.
    """
    try:
        with reading(path):
            return label_names_of(nib.load(path).header)
    except (VolumeError, ImageFileError):
        return {}
