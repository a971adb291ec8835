"""The ways of running a network that are compared, each as one function of slices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.backends import Execution, SlicePredictor, open_predictor
from unet_med.backends.exported import usable_receipt
from unet_med.errors import BundleError, InputError, MissingExtraError
from unet_med.inference.pipeline import batch_size
from unet_med.preprocessing import pad_to_multiple
from unet_med.windows import WindowRule, predict_by_windows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from unet_med.bundle import Bundle

    Runner = Callable[[NDArray[np.float32]], NDArray[np.float32]]

WINDOW = WindowRule(size=(256, 256), overlap=0.25, max_pixels=0, mode="gaussian")
"""The windows compared: the same for MONAI's inferer and for ours."""

MONAI_BATCH = 4
_PRECISIONS = {"torch": ("fp32", "bf16"), "openvino": ("fp32", "bf16", "int8")}


@dataclass(frozen=True, slots=True)
class Way:
    """One way of running.

    Attributes:
        backend: ``torch``, ``openvino``, or ``monai`` for MONAI's SliceInferer on torch.
        precision: ``fp32``, ``bf16`` or ``int8``.
        tiling: ``whole`` slices or ``windows``.
    """

    backend: str
    precision: str
    tiling: str

    @property
    def name(self) -> str:
        """Backend, precision and tiling."""
        return f"{self.backend} {self.precision} {self.tiling}"


BASELINE = Way("monai", "fp32", "windows")


def all_ways(height: int, width: int) -> list[Way]:
    """Return the ways for slices of a size; windows only if a slice has more than one."""
    larger = height > WINDOW.size[0] or width > WINDOW.size[1]
    tilings = ("windows", "whole") if larger else ("whole",)
    ours = [
        Way(backend, precision, tiling)
        for backend, precisions in _PRECISIONS.items()
        for precision in precisions
        for tiling in reversed(tilings)
    ]
    return [*(Way("monai", "fp32", tiling) for tiling in tilings), *ours]


def open_way(way: Way, bundle: Bundle, *, threads: int) -> Runner:
    """Load the network for one way.

    Returns:
        Function of slices (N, C, H, W) float32 to logits (N, K, H, W) float32.

    Raises:
        BundleError, MissingExtraError, InputError: This way cannot be run here.
        WeightsError: The weights do not fit.
    """
    if way.backend == "monai":
        return _open_monai(bundle, way.tiling)
    if way.backend == "openvino":
        usable_receipt(bundle.weights_path, way.precision)
    execution = Execution(way.backend, way.precision, "cpu", threads, "")
    predictor = open_predictor(bundle.recipe, bundle.weights_path, execution)
    multiple = bundle.recipe.network.multiple
    if way.tiling == "windows":
        return partial(_by_windows, predictor=predictor, multiple=multiple)
    return partial(_whole, predictor=predictor, multiple=multiple)


def why_not(way: Way, bundle: Bundle, *, threads: int) -> str:
    """Return why a way cannot be run here; empty = it can."""
    try:
        open_way(way, bundle, threads=threads)
    except (BundleError, MissingExtraError, InputError) as exc:
        return str(exc)
    return ""


def _whole(
    slices: NDArray[np.float32], *, predictor: SlicePredictor, multiple: int
) -> NDArray[np.float32]:
    height, width = slices.shape[-2:]
    batch = batch_size((height, width), WindowRule(max_pixels=height * width))
    padded = pad_to_multiple(slices, multiple)
    logits = [predictor(padded[n : n + batch]) for n in range(0, len(padded), batch)]
    return np.concatenate(logits)[..., :height, :width]


def _by_windows(
    slices: NDArray[np.float32], *, predictor: SlicePredictor, multiple: int
) -> NDArray[np.float32]:
    def predict(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width = windows.shape[-2:]
        return predictor(pad_to_multiple(windows, multiple))[..., :height, :width]

    batch = batch_size((slices.shape[-2], slices.shape[-1]), WINDOW)
    return predict_by_windows(slices, predict, rule=WINDOW, batch=batch)


def _open_monai(bundle: Bundle, tiling: str) -> Runner:
    """MONAI's SliceInferer over a volume, the network as torch has it: eager, channels first."""
    import torch
    from monai.inferers import SliceInferer

    from unet_med.backends.torch_backend import build_network
    from unet_med.weights import load_weights

    network = build_network(bundle.recipe)
    load_weights(network, bundle.weights_path, sha256=bundle.recipe.weights_sha256)
    network.eval()

    def run(slices: NDArray[np.float32]) -> NDArray[np.float32]:
        volume = torch.from_numpy(np.moveaxis(slices, 0, -1).copy())[None]  # (1, C, H, W, n)
        size = WINDOW.size if tiling == "windows" else slices.shape[-2:]
        settings: dict[str, Any] = {"overlap": WINDOW.overlap, "mode": WINDOW.mode}
        inferer = SliceInferer(
            roi_size=size, spatial_dim=2, sw_batch_size=MONAI_BATCH, progress=False, **settings
        )
        with torch.inference_mode():
            logits = inferer(volume, network)
        return np.moveaxis(logits[0].numpy(), -1, 0)

    return run
