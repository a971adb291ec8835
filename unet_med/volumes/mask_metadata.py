"""Metadata of masks (label names, provenance), and the names of the maps saved beside them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from unet_med.volumes.input_files import InputFiles


@dataclass(frozen=True, slots=True)
class MaskProvenance:
    """State in a mask file how the mask was made.

    Neither a path nor a name of the scan nor a time: equal scans give equal files, and nothing
    in them can name a patient.

    Attributes:
        version: Version of this program.
        bundle: Name of the bundle.
        bundle_sha256: Identity of its recipe and weights.
        backend: What ran the network.
        precision: In which numbers.
        inputs: SHA-256 of each scan file in channel order; empty for scans from memory.
        channel: Channel or frame taken of a 4D file, or None.

    Example:
        >>> MaskProvenance("0.1", "heads", "ab12", "torch", "fp32").as_dict()["bundle"]
        'heads'
    """

    version: str
    bundle: str
    bundle_sha256: str
    backend: str
    precision: str
    inputs: tuple[str, ...] = ()
    channel: int | None = None

    def of(self, files: InputFiles | None, *, channel: int | None = None) -> MaskProvenance:
        """Return the provenance of one mask: of these files, or of an image from memory."""
        inputs = () if files is None else files.sha256
        return replace(self, inputs=inputs, channel=channel)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready content."""
        content = asdict(self)
        content["inputs"] = list(self.inputs)
        return {key: value for key, value in content.items() if value is not None}


@dataclass(frozen=True, slots=True)
class MaskMetadata:
    """Describe a mask: label names, provenance and codes, as far as its format can.

    Attributes:
        label_names: Name per label value.
        provenance: How it was made.
        terminology: Code value, coding scheme and meaning per label value, for DICOM.

    Example:
        >>> MaskMetadata({1: "csf", 2: "gray matter"}).label_names[1]
        'csf'
    """

    label_names: Mapping[int, str]
    provenance: MaskProvenance | None = None
    terminology: Mapping[int, tuple[str, str, str]] = field(default_factory=dict)


MAP_KINDS = ("probabilities", "uncertainty", "entropy")
"""What can be saved beside a mask, each as ``<id>.<kind>.nii.gz``."""

_MAP_ENDINGS = tuple(f".{kind}{ending}" for kind in MAP_KINDS for ending in (".nii.gz", ".nii"))


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

    Example:
        >>> from pathlib import Path
        >>> is_map(Path("case01.nii.gz"))
        False
    """
    if not path.name.lower().endswith(_MAP_ENDINGS):
        return False
    from unet_med.volumes.mask_header import read_mask_metadata  # loads nibabel

    return read_mask_metadata(path).get("map") in MAP_KINDS
