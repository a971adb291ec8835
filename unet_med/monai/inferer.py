"""Run a 2D network over volumes slice by slice, as a MONAI ``Inferer``."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import Inferer
from rich.console import Console
from rich.progress import Progress

from unet_med.backends.torch_backend import TorchPredictor
from unet_med.errors import InputError
from unet_med.geometry import Geometry, slice_layout
from unet_med.inference import (
    ArraySlices,
    EnsembleMember,
    SlicePipeline,
    iter_ensemble_logits,
    labels_from_logits,
    postprocess_labels,
    with_common_step,
)
from unet_med.inference.pipeline import default_batch_size
from unet_med.monai.inferer_options import (
    SlicePadding,
    check_positive,
    check_recipe,
    open_ensemble,
    open_exported,
    refuse_unsupported,
    window_from_roi,
)
from unet_med.monai.meta_tensor import ras_affines
from unet_med.preprocessing import InPlaneResampler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from monai.utils import BlendMode, PytorchPadMode

    from unet_med.backends import Execution, SlicePredictor
    from unet_med.bundle import Bundle
    from unet_med.monai.inferer_options import Network, Overlap, RoiSize
    from unet_med.recipe import Recipe

logger = logging.getLogger(__name__)

DEFAULT_MULTIPLE = 16
"""Padding multiple for networks that do not say theirs: four levels, MONAI's usual U-Net."""

_BATCHED_NDIM = 5
_MONAI_KEYWORDS = ("condition", "buffer_steps", "buffer_dim")
"""Arguments of a call that MONAI's inferers take for themselves."""


class SlicewiseInferer(Inferer):  # type: ignore[misc]  # monai is not typed
    """Run any 2D network over volumes, slice by slice across a named anatomical axis.

    Inputs are (B, C, i, j, k) in the file's own order. The affine of a ``MetaTensor`` (RAS or
    LPS, as its ``space`` says) tells which array axis is which. A plain tensor counts as RAS+
    with 1 mm, and is refused where a recipe depends on axes and spacing. Slices reach the network
    as (N, C·context, rows, columns), padded at the end to ``multiple``. Logits come back on the
    input's grid, always float32, without gradients. The network gives one tensor of the size of
    its input; tuples and dictionaries are refused.

    The first 15 arguments are those of `monai.inferers.SlidingWindowInferer`, in its order. Four
    defaults differ: slices are run whole, in batches of a fixed number of pixels; windows, where
    needed, overlap by half and are weighted by a Gaussian. ``SliceInferer(spatial_dim=…)`` is
    ``slice_axis`` here; rows and columns are those of the oriented slice, not of the array.

    With a ``recipe`` the slice axis, context, in-plane spacing, multiple, windows and mirroring
    are the recipe's, and ``output="labels"`` gives its label values, post-processed: the same
    stream as the command line runs. With ``ensemble`` the probabilities of further bundles are
    averaged with those of the network given.

    Args:
        roi_size: One side or (rows, columns) of a window, for slices that exceed it in either;
            a side of None, 0 or -1 is the slice's own. ``None`` = whole slices up to 2^20 pixels.
        sw_batch_size: Slices or windows per network call; ``None`` = the fixed default.
        overlap: Share of a window that the next one covers again, or (rows, columns).
        mode: ``gaussian`` or ``constant`` window weights.
        sigma_scale: 0.125 alone.
        padding_mode: How slices are padded to ``multiple``: ``constant``, ``reflect``,
            ``replicate`` or ``circular``. With a recipe ``constant`` alone. A slice smaller than
            a window is never padded to the window's size, as it is run whole.
        cval: Value of padding mode ``constant``. With a recipe 0 alone.
        sw_device: Where the network runs; ``None`` = the input's device. Torch alone.
        device: Where the result lies; ``None`` = the input's device.
        progress: Show a progress bar over slices on standard error.
        cache_roi_weight_map: No effect: weights are always made once per window shape.
        cpu_thresh, buffer_steps, buffer_dim: The defaults alone: slices are stitched one by one
            in main memory.
        with_coord: False alone: the network sees slices, not where they lie.
        slice_axis: ``axial``, ``coronal``, ``sagittal`` or ``thickest``.
        multiple: Padding multiple of the network, 2^levels; ``None`` = the network's own
            attribute ``multiple``, else 16.
        recipe: Takes over ``slice_axis``, ``multiple`` and, without ``roi_size``, the windows.
        execution: Backend, precision and threads; ``None`` = torch in fp32 with its own threads.
            Another backend than torch runs the bundle's export; the network given is then not run.
        weights: The bundle's ``models/model.pt``, where a backend other than torch finds the
            export; it also needs ``recipe``.
        ensemble: Further bundles, opened, and how each is run (``backends.resolve_ensemble``); they
            must normalize as the recipe does, as the input is normalized already. Needs a recipe.
        output: ``logits`` (B, K, i, j, k) float32, or ``labels`` (B, 1, i, j, k), which needs a
            recipe: uint8 where the values fit, else int64.

    Example:
        >>> inferer = SlicewiseInferer(roi_size=64, sw_batch_size=8)
        >>> inferer(torch.zeros(1, 1, 100, 80, 5), torch.nn.Conv2d(1, 3, 1)).shape
        torch.Size([1, 3, 100, 80, 5])
    """

    def __init__(  # noqa: PLR0913, PLR0917 - SlidingWindowInferer's signature, and one per setting
        self,
        roi_size: RoiSize = None,
        sw_batch_size: int | None = None,
        overlap: Overlap = 0.5,
        mode: BlendMode | str = "gaussian",
        sigma_scale: float | Sequence[float] = 0.125,
        padding_mode: PytorchPadMode | str = "constant",
        cval: float = 0.0,
        sw_device: torch.device | str | None = None,
        device: torch.device | str | None = None,
        progress: bool = False,  # noqa: FBT001, FBT002 - SlidingWindowInferer's signature
        cache_roi_weight_map: bool = False,  # noqa: ARG002, FBT001, FBT002 - likewise
        cpu_thresh: int | None = None,
        buffer_steps: int | None = None,
        buffer_dim: int = -1,
        with_coord: bool = False,  # noqa: FBT001, FBT002 - likewise
        *,
        slice_axis: str = "axial",
        multiple: int | None = None,
        recipe: Recipe | None = None,
        execution: Execution | None = None,
        weights: Path | str | None = None,
        ensemble: Sequence[tuple[Bundle, Execution]] = (),
        output: Literal["logits", "labels"] = "logits",
    ) -> None:
        super().__init__()
        refuse_unsupported(
            sigma_scale=sigma_scale,
            cpu_thresh=cpu_thresh,
            buffer_steps=buffer_steps,
            buffer_dim=buffer_dim,
            with_coord=with_coord,
        )
        check_positive(sw_batch_size=sw_batch_size, multiple=multiple)
        self._padding = SlicePadding(padding_mode, cval)
        check_recipe(recipe, output=output, padding=self._padding)
        self._ensemble = open_ensemble(recipe, ensemble)
        self._exported = open_exported(recipe, weights, execution, sw_device=sw_device)
        self._window = window_from_roi(roi_size, overlap, mode, recipe)
        self._sw_device = sw_device
        self._device = device
        self._progress = progress
        self._batch = sw_batch_size
        self._slice_axis = slice_axis if recipe is None else recipe.slice_axis
        self._multiple = multiple
        self._recipe = recipe
        self._execution = execution
        self._output = output

    def __call__(
        self,
        inputs: torch.Tensor,
        network: Callable[..., torch.Tensor],
        *args: Any,  # noqa: ANN401 - handed on to the network
        **kwargs: Any,  # noqa: ANN401 - handed on to the network
    ) -> torch.Tensor:
        """Return logits or labels of volumes (B, C, i, j, k) on the same grid.

        Args:
            inputs: Volumes, of any type; the network gets float32.
            network: From slices (N, C, rows, columns) to logits (N, K, rows, columns).
            *args: Handed on to the network.
            **kwargs: Likewise, but for ``device``, which overrides the inferer's own.

        Raises:
            InputError: The input does not fit, or ``condition`` or a buffer is asked for.
            WeightsError: The network gives something else than one tensor of the same size.
        """
        device = kwargs.pop("device", self._device) or inputs.device
        sliced = {name: kwargs.pop(name) for name in _MONAI_KEYWORDS if name in kwargs}
        refuse_unsupported(**sliced)
        if inputs.ndim != _BATCHED_NDIM:
            msg = f"SlicewiseInferer needs volumes (B, C, i, j, k), got shape {tuple(inputs.shape)}"
            raise InputError(msg)
        if self._recipe is not None and not isinstance(inputs, MetaTensor):
            msg = (
                "a recipe needs to know the volume's axes and spacing, but the input is a plain "
                "tensor without an affine: keep MetaTensors (a PersistentDataset drops them "
                "unless it is given track_meta=True and weights_only=False)"
            )
            raise InputError(msg)
        if self._exported is None and getattr(network, "training", False):
            logger.warning(
                "the network is in training mode: its masks depend on the batch, and its batch "
                "statistics change; call network.eval() first"
            )
        multiple = self._multiple or int(getattr(network, "multiple", DEFAULT_MULTIPLE))

        def call(batch: torch.Tensor) -> object:
            return network(batch, *args, **kwargs)

        if self._padding:
            predictor = self._predictor(self._padding.around(call, multiple=multiple), inputs)
            multiple = 1
        else:
            predictor = self._predictor(call, inputs)
        if self._execution is not None and isinstance(network, torch.nn.Module):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        results = [
            self._run(volume, affine, predictor, multiple)
            for volume, affine in zip(inputs, ras_affines(inputs), strict=True)
        ]
        result = torch.from_numpy(np.stack(results)).to(device)
        if isinstance(inputs, MetaTensor):
            return MetaTensor(result).copy_meta_from(inputs)  # type: ignore[no-any-return]
        return result

    def _predictor(self, network: Network, inputs: torch.Tensor) -> SlicePredictor:
        if self._exported is not None:
            return self._exported
        device = str(self._sw_device or inputs.device)
        if self._execution is None:
            return TorchPredictor(network, device=device)
        return TorchPredictor(
            network,
            device=device,
            precision=self._execution.precision,
            threads=self._execution.threads,
        )

    def _run(
        self, volume: torch.Tensor, affine: np.ndarray, predictor: SlicePredictor, multiple: int
    ) -> np.ndarray:
        array: np.ndarray = volume.detach().to(torch.float32).cpu().numpy()
        i, j, k = array.shape[1:]
        if self._output == "labels" and not np.isfinite(array).all():
            msg = "the input holds NaN or infinite voxels: normalize it first (NormalizeVolumed)"
            raise InputError(msg)
        geometry = Geometry((i, j, k), affine)
        members = self._members(geometry, predictor, multiple)
        layout = members[0].pipeline.layout
        activation = members[0].pipeline.activation
        source = ArraySlices(array, layout)
        output: np.ndarray | None = None
        steps = iter_ensemble_logits(members, lambda _: source, activation=activation)
        with Progress(console=Console(stderr=True), disable=not self._progress) as bar:
            task = bar.add_task("slices", total=array.shape[1 + layout.axes[0]])
            for start, logits in steps:
                part = self._reduce(logits)
                if output is None:
                    output = np.zeros((part.shape[1], i, j, k), part.dtype)
                layout.to_slices(output)[start : start + len(part)] = part
                bar.advance(task, len(part))
        assert output is not None
        if self._output == "labels" and self._recipe is not None and self._recipe.postprocessing:
            postprocess_labels(output[0], self._recipe, geometry)
        return output

    def _members(
        self, geometry: Geometry, predictor: SlicePredictor, multiple: int
    ) -> tuple[EnsembleMember, ...]:
        first = EnsembleMember(self._pipeline(geometry, multiple), (), predictor)
        others = [
            EnsembleMember(SlicePipeline.for_scan(recipe, geometry), (), other)
            for recipe, other in self._ensemble
        ]
        return with_common_step([first, *others])

    def _pipeline(self, geometry: Geometry, multiple: int) -> SlicePipeline:
        if self._recipe is not None:
            pipeline = SlicePipeline.for_scan(self._recipe, geometry)
            batch = self._batch or default_batch_size(
                pipeline.resampler.network_shape, self._window
            )
            return replace(pipeline, window=self._window, batch_size=batch)
        layout = slice_layout(geometry, self._slice_axis).in_file_order()
        _, row_mm, column_mm = layout.spacing(geometry)
        _, rows, columns = layout.axes
        shape = geometry.shape[rows], geometry.shape[columns]
        resampler = InPlaneResampler(shape, (row_mm, column_mm), None)
        batch = self._batch or default_batch_size(shape, self._window)
        return SlicePipeline(layout, (0,), resampler, multiple, self._window, batch)

    def _reduce(self, logits: np.ndarray) -> np.ndarray:
        if self._output == "logits" or self._recipe is None:
            return logits
        labels = labels_from_logits(
            logits, tuple(self._recipe.labels), activation=self._recipe.activation
        )
        # torch's arithmetic knows few unsigned types beyond uint8.
        return labels[:, None].astype(np.uint8 if labels.dtype == np.uint8 else np.int64)
