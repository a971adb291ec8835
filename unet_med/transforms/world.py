"""Affines of MONAI's images, in the world coordinates of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from monai.utils import MetaKeys, SpaceKeys, convert_to_numpy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def ras_affine(affine: Any, meta: Mapping[str, Any]) -> NDArray[np.float64]:  # noqa: ANN401 - tensor or array
    """Return an affine from voxel index to RAS+ mm, whichever space the meta data name.

    MONAI's ITK, DICOM and NRRD readers leave affines in LPS when they are told not to convert;
    the key ``space`` says so.

    Args:
        affine: Shape (4, 4), or (B, 4, 4) of a batch.
        meta: The image's meta data; of a batch, ``space`` is a list.

    Returns:
        Of the same shape, float64.
    """
    values = np.array(convert_to_numpy(affine), np.float64)
    space = meta.get(MetaKeys.SPACE, SpaceKeys.RAS)
    lps = np.array([one == SpaceKeys.LPS for one in ([space] if isinstance(space, str) else space)])
    if values.ndim == 2:  # noqa: PLR2004 - one affine
        return np.asarray(_LPS_TO_RAS @ values if lps.any() else values)
    return np.asarray(np.where(lps[:, np.newaxis, np.newaxis], _LPS_TO_RAS @ values, values))
