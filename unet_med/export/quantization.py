"""The int8 model, by post-training quantization on real slices."""

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


def quantize(model: Any, inputs: Sequence[NDArray[np.float32]]) -> Any:  # noqa: ANN401 - openvino.Model
    """Return an int8 model, weights per channel, activations per layer, axes as they were.

    The first convolution stays in floating point, since the scan's own values carry detail that
    256 steps lose, and biases are corrected layer after layer. With the sample network on 16
    slices of Colin27 the two raise the worst label's agreement with fp32 from 0.972 to 0.991 and
    cut its loss of Dice from 0.008 to 0.002, for 5 to 10 % more time a slice.

    Args:
        model: An ``openvino.Model`` in float32; it is not changed.
        inputs: What the network sees of calibration slices, each (1, C, H, W).

    Raises:
        MissingExtraError: NNCF is not installed.
    """
    nncf = load_nncf()
    nncf.set_log_level(logging.ERROR)
    names = [
        operation.get_friendly_name()
        for operation in model.get_ordered_ops()
        if operation.get_type_name() == "Convolution"
    ]
    with redirect_stdout(io.StringIO()):  # its progress bars would stand in the command's output
        return nncf.quantize(
            model,
            nncf.Dataset(list(inputs)),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(inputs),
            fast_bias_correction=False,
            ignored_scope=nncf.IgnoredScope(names=names[:1]),
        )
