"""What happens to a batch of slices between the scan's grid and its logits on that grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from unet_med.errors import GeometryError, WeightsError
from unet_med.geometry import slice_layout
from unet_med.inference.sliding_window import iter_windows, sliding_window_inference
from unet_med.inference.tta import (
    NO_FLIPS,
    average_flipped,
    predict_with_tta,
    slice_flips,
    stack_flipped,
)
from unet_med.preprocessing import InPlaneResampler, pad_to_multiple

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from unet_med.backends import SlicePredictor
    from unet_med.geometry import Geometry, SliceLayout
    from unet_med.recipe import Recipe
    from unet_med.recipe.sliding_window import SlidingWindow

PIXELS_PER_BATCH = 1 << 18
"""Pixels given to the network at once: one slice of 512×512, seven of 192×192. A fixed figure,
never probed, since torch's logits change in the last bits with the batch."""

MAX_RESAMPLED_PIXELS = 1 << 25
"""Most pixels of a slice at the recipe's spacing, unless it has them already: 5792 × 5792."""


@dataclass(frozen=True)
class SlicePipeline:
    """The steps around the network, fixed for one scan.

    Attributes:
        layout: How the scan's axes become slices, in the file's own order along the slice axis,
            so that a compressed file is read forward only.
        offsets: Context slices as offsets in that order, lowest world coordinate first;
            ``(0,)`` = none.
        resampler: To the recipe's in-plane spacing and back.
        multiple: The network's padding multiple.
        window: When and how slices are cut into windows.
        batch_size: Slices (or windows) per network call; mirrored ones count each.
        flips: Runs of each slice, which (rows, columns) are mirrored.
        activation: Says what the mean over mirrored runs is taken of.
        batch_invariant: Whether a slice's logits do not depend on what else is in its batch.
        step: Slices of a scan that are in hand at once, ``None`` = as many as fill a call; see
            ``slices_per_step``.
    """

    layout: SliceLayout
    offsets: tuple[int, ...]
    resampler: InPlaneResampler
    multiple: int
    window: SlidingWindow
    batch_size: int
    flips: tuple[tuple[bool, bool], ...] = NO_FLIPS
    activation: str = "softmax"
    batch_invariant: bool = False
    step: int | None = None

    @property
    def slices_per_call(self) -> int:
        """Slices (or windows) whose mirrored runs fill one network call, at least 1."""
        return max(1, self.batch_size // len(self.flips))

    @property
    def slices_per_step(self) -> int:
        """Slices of the scan that are read, run and given up together, at least 1.

        Of slices cut into windows few are enough to fill a call, and each is large.
        """
        if self.step is not None:
            return self.step
        shape = self.resampler.network_shape
        if not self.window.is_needed(shape):
            return self.slices_per_call
        n_windows = sum(1 for _ in iter_windows(shape, self.window))
        return max(1, self.slices_per_call // n_windows)

    @classmethod
    def for_scan(cls, recipe: Recipe, geometry: Geometry) -> SlicePipeline:
        """Fix the steps of a recipe for a scan's grid.

        Raises:
            GeometryError: Slices would become absurdly large at the recipe's spacing.
        """
        layout = slice_layout(geometry, recipe.slice_axis)
        slice_mm, row_mm, column_mm = layout.spacing(geometry)
        offsets = recipe.context.offsets(slice_mm)
        _, rows, columns = layout.axes
        resampler = InPlaneResampler(
            (geometry.shape[rows], geometry.shape[columns]),
            (row_mm, column_mm),
            recipe.in_plane_spacing_mm,
        )
        _check_size(resampler)
        return cls(
            layout=layout.in_file_order(),
            offsets=tuple(-offset for offset in offsets) if layout.flips[0] else offsets,
            resampler=resampler,
            multiple=recipe.network.multiple,
            window=recipe.window,
            batch_size=default_batch_size(resampler.network_shape, recipe.window),
            flips=slice_flips(recipe.tta, geometry, layout),
            activation=recipe.activation,
        )

    def logits(self, slices: NDArray[np.float32], predictor: SlicePredictor) -> NDArray[np.float32]:
        """Return logits (N, K, H, W) float32 on the scan's own grid; see ``run_network``."""
        return self.resampler.to_native(self.run_network(slices, predictor))

    def run_network(
        self, slices: NDArray[np.float32], predictor: SlicePredictor
    ) -> NDArray[np.float32]:
        """Run the network, whole or by windows, and average over the mirrored runs.

        Args:
            slices: (N, C·context, H', W') float32 at the network's spacing.
            predictor: The network.

        Returns:
            Logits (N, K, H', W') float32; with mirrors, of the mean probabilities.

        Raises:
            WeightsError: The network's output has another size than its input.
        """
        predict: Callable[[NDArray[np.float32]], NDArray[np.float32]] = partial(
            _predict_padded, predictor=predictor, multiple=self.multiple
        )
        if len(self.flips) > 1:
            predict = partial(
                predict_with_tta,
                predict=predict,
                flips=self.flips,
                batch_size=self.batch_size,
                activation=self.activation,
            )
        if self.window.is_needed((slices.shape[-2], slices.shape[-1])):
            batch_size = self.slices_per_call
            return sliding_window_inference(
                slices, predict, settings=self.window, batch_size=batch_size
            )
        return predict(slices)

    def submit_network(
        self, slices: NDArray[np.float32], predictor: SlicePredictor
    ) -> Callable[[], NDArray[np.float32]] | None:
        """Submit a run that goes on asynchronously, where network and slices allow it.

        Returns:
            What waits for the logits that ``run_network`` gives and returns them; None where that
            is to be called instead: by windows, in several calls, or with a network that cannot.
        """
        submit = getattr(predictor, "submit", None)
        windows = self.window.is_needed((slices.shape[-2], slices.shape[-1]))
        if submit is None or windows or len(self.flips) * len(slices) > self.batch_size:
            return None
        alone = len(self.flips) == 1
        stacked = slices if alone else stack_flipped(slices, self.flips)
        padded = pad_to_multiple(stacked, self.multiple)
        result = submit(padded)
        if result is None:
            return None

        def logits() -> NDArray[np.float32]:
            found = _cropped(result(), padded.shape, stacked.shape)
            if alone:
                return found
            return average_flipped(found, self.flips, activation=self.activation)

        return logits


def _check_size(resampler: InPlaneResampler) -> None:
    """Refuse voxel sizes that would make a small file a huge slice."""
    rows, columns = resampler.network_shape
    if resampler.network_shape != resampler.shape and rows * columns > MAX_RESAMPLED_PIXELS:
        msg = (
            f"slices of {resampler.shape} pixels would become {rows} × {columns} at the recipe's "
            f"{resampler.target_mm} mm: check the voxel sizes in the header, "
            f"{resampler.spacing_mm} mm"
        )
        raise GeometryError(msg)


def default_batch_size(shape: tuple[int, int], window: SlidingWindow) -> int:
    """Return how many slices of this shape (or windows of it) go into one network call."""
    if window.is_needed(shape):
        shape = (min(shape[0], window.size[0]), min(shape[1], window.size[1]))
    return max(1, PIXELS_PER_BATCH // (shape[0] * shape[1]))


def _predict_padded(
    slices: NDArray[np.float32], predictor: SlicePredictor, multiple: int
) -> NDArray[np.float32]:
    padded = pad_to_multiple(slices, multiple)
    return _cropped(predictor(padded), padded.shape, slices.shape)


def _cropped(
    logits: NDArray[np.float32], padded: tuple[int, ...], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Cut the logits of padded slices to the slices' own rows and columns."""
    if logits.ndim != 4 or logits.shape[-2:] != padded[-2:]:  # noqa: PLR2004 - N, K, H, W
        msg = (
            f"the network turned slices {padded} into {logits.shape}: it must give one "
            "logit per label and pixel"
        )
        raise WeightsError(msg)
    return logits[..., : shape[-2], : shape[-1]]
