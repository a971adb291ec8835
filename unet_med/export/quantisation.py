"""The int8 model, by post-training quantisation on real slices."""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from unet_med.backends.openvino_runtime import load_nncf

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

CALIBRATION_SLICES = 64
"""Slices that calibration sees by default. They set one range per layer, which a few dozen
slices from different heights fix well."""


def quantise(model: Any, inputs: Sequence[NDArray[np.float32]]) -> Any:  # noqa: ANN401 - openvino.Model
    """Return an int8 model, weights per channel, activations per layer, axes as they were.

    Args:
        model: An ``openvino.Model`` in float32; it is not changed.
        inputs: What the network sees of calibration slices, each (1, C, H, W).

    Raises:
        MissingExtraError: NNCF is not installed.
    """
    nncf = load_nncf()
    nncf.set_log_level(logging.ERROR)
    with redirect_stdout(io.StringIO()):  # its progress bars would stand in the command's output
        return nncf.quantize(
            model,
            nncf.Dataset(list(inputs)),
            # Activations after ReLU are not negative: half of a symmetric range would be lost.
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(inputs),
        )
