"""Run a 2D network over volumes slice by slice, as a MONAI ``Inferer``."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import Inferer

from unet_med.backends import open_predictor
from unet_med.backends.torch_backend import TorchPredictor
from unet_med.errors import InputError
from unet_med.geometry import Geometry, slice_layout
from unet_med.inference.ensemble import (
    EnsembleMember,
    check_members,
    iter_ensemble_logits,
    with_common_step,
)
from unet_med.inference.logits import labels_from_logits
from unet_med.inference.pipeline import SlicePipeline, default_batch_size
from unet_med.inference.postprocessing import postprocess_labels
from unet_med.inference.slices import ArraySlices
from unet_med.inference.sliding_window import sliding_window_from_roi
from unet_med.monai.meta_tensor import ras_affine
from unet_med.preprocessing import InPlaneResampler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unet_med.backends import Execution, SlicePredictor
    from unet_med.bundle import Bundle
    from unet_med.recipe import Recipe

logger = logging.getLogger(__name__)

DEFAULT_MULTIPLE = 16
"""Padding multiple for networks that do not say theirs: four levels, MONAI's usual U-Net."""

_BATCHED_NDIM = 5


class SlicewiseInferer(Inferer):  # type: ignore[misc]  # monai is not typed
    """Run any 2D network over volumes, slice by slice across a named anatomical axis.

    Inputs are (B, C, i, j, k) in the file's own order; a ``MetaTensor``'s affine (RAS or LPS, as
    its ``space`` says) tells which array axis is which; a plain tensor counts as RAS+ with 1 mm,
    and is refused where a recipe depends on axes and spacing. Slices reach the network as
    (N, C·context, rows, columns), padded with zeros to ``multiple``; logits come back on the
    input's grid. Slices are run whole unless ``roi_size`` asks for windows or a slice has more
    pixels than the budget.

    With a ``recipe`` the slice axis, context, in-plane spacing, multiple, windows and mirroring
    are the recipe's, and ``output="labels"`` gives its label values, post-processed: the same
    stream as the command line runs. With ``ensemble`` the probabilities of further bundles are
    averaged with those of the network given.

    Args:
        roi_size: Rows and columns of a window, for slices that exceed it in either; ``None`` =
            whole slices up to the pixel budget.
        sw_batch_size: Slices or windows per network call; ``None`` = the fixed default.
        overlap: Share of a window that the next one covers again.
        mode: ``gaussian`` or ``constant`` window weights.
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

    Raises:
        InputError: The settings or the input do not fit.
    """

    def __init__(  # noqa: PLR0913 - MONAI's argument names, and one per setting
        self,
        roi_size: Sequence[int] | None = None,
        sw_batch_size: int | None = None,
        overlap: float = 0.5,
        mode: str = "gaussian",
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
        if output not in ("logits", "labels"):
            msg = f"output must be logits or labels, got {output!r}"
            raise InputError(msg)
        if output == "labels" and recipe is None:
            msg = "output='labels' needs a recipe, which says what the channels mean"
            raise InputError(msg)
        _check_positive(sw_batch_size=sw_batch_size, multiple=multiple)
        self._ensemble = _open_ensemble(recipe, ensemble)
        self._exported = _open_exported(recipe, weights, execution)
        self._window = sliding_window_from_roi(roi_size, overlap, mode, recipe)
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
        """Return logits or labels of volumes (B, C, i, j, k) on the same grid and device."""
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
        predictor = self._predictor(network, inputs.device, args, kwargs)
        results = [
            self._run(volume, affine, predictor, multiple)
            for volume, affine in zip(inputs, _affines(inputs), strict=True)
        ]
        result = torch.from_numpy(np.stack(results)).to(inputs.device)
        if isinstance(inputs, MetaTensor):
            return MetaTensor(result).copy_meta_from(inputs)  # type: ignore[no-any-return]
        return result

    def _predictor(
        self,
        network: Callable[..., torch.Tensor],
        device: torch.device,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> SlicePredictor:
        if self._exported is not None:
            return self._exported

        def call(batch: torch.Tensor) -> torch.Tensor:
            return network(batch, *args, **kwargs)

        if self._execution is None:
            return TorchPredictor(call, device=str(device))
        if isinstance(network, torch.nn.Module):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return TorchPredictor(
            call,
            device=str(device),
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
        for start, logits in iter_ensemble_logits(members, lambda _: source, activation=activation):
            part = self._reduce(logits)
            if output is None:
                output = np.zeros((part.shape[1], i, j, k), part.dtype)
            layout.to_slices(output)[start : start + len(part)] = part
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
        if self._output == "logits":
            return logits
        assert self._recipe is not None
        labels = labels_from_logits(
            logits, tuple(self._recipe.labels), activation=self._recipe.activation
        )
        # torch's arithmetic knows few unsigned types beyond uint8.
        return labels[:, None].astype(np.uint8 if labels.dtype == np.uint8 else np.int64)


def _open_exported(
    recipe: Recipe | None, weights: Path | str | None, execution: Execution | None
) -> SlicePredictor | None:
    """Open the export that a backend other than torch runs; ``None`` for torch."""
    if execution is None or execution.backend == "torch":
        return None
    if recipe is None or weights is None:
        msg = (
            f"backend {execution.backend} runs the bundle's export, not a torch network: give "
            "SlicewiseInferer recipe= and weights=, or use backend torch"
        )
        raise InputError(msg)
    return open_predictor(recipe, Path(weights), execution)


def _open_ensemble(
    recipe: Recipe | None, ensemble: Sequence[tuple[Bundle, Execution]]
) -> list[tuple[Recipe, SlicePredictor]]:
    """Check that further bundles fit the recipe, and load their networks."""
    if not ensemble:
        return []
    if recipe is None:
        msg = "an ensemble needs the recipe of the network given: give SlicewiseInferer recipe="
        raise InputError(msg)
    check_members([recipe, *(bundle.recipe for bundle, _ in ensemble)])
    for bundle, _ in ensemble:
        if bundle.recipe.channels != recipe.channels:
            msg = (
                f"{bundle.name} normalizes otherwise than {recipe.name}, and this input is "
                "normalized already: use unet-med segment, which normalizes for each"
            )
            raise InputError(msg)
    return [
        (bundle.recipe, open_predictor(bundle.recipe, bundle.weights_path, execution))
        for bundle, execution in ensemble
    ]


def _check_positive(**counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and count < 1:
            msg = f"{name} must be at least 1, got {count}"
            raise InputError(msg)


def _affines(inputs: torch.Tensor) -> list[np.ndarray]:
    """Return one voxel-to-world affine (4, 4) float64 per volume of the batch."""
    if not isinstance(inputs, MetaTensor):
        return [np.eye(4)] * len(inputs)
    affine = ras_affine(inputs.affine.detach(), inputs.meta)
    if affine.ndim == 2:  # noqa: PLR2004 - one affine for the whole batch
        return [affine] * len(inputs)
    return list(affine)
