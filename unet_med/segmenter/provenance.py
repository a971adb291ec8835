"""What every mask of a bundle says about how it was made, whichever door makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet_med import __version__
from unet_med.segmenter.members import identity
from unet_med.volumes import MaskProvenance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unet_med.backends import Execution
    from unet_med.bundle import Bundle


def mask_provenance(bundles: Sequence[Bundle], execution: Execution) -> MaskProvenance:
    """Return the provenance that all masks of a bundle, or an ensemble, have in common."""
    what = identity(bundles)
    return MaskProvenance(
        version=__version__,
        bundle=what["name"],
        bundle_sha256=what["sha256"],
        backend=execution.backend,
        precision=execution.precision,
    )
