"""How a mask was made, as far as every door knows it: what equal masks have in common."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unet_med.volumes.digest import InputFiles


@dataclass(frozen=True, slots=True)
class MaskProvenance:
    """What goes into a mask file beside its voxels.

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
