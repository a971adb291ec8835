"""Turn the arguments of MONAI's sliding-window inferers into what a slice pipeline needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from monai.utils import PytorchPadMode, look_up_option

from unet_med.backends import open_predictor
from unet_med.errors import InputError
from unet_med.inference import check_members
from unet_med.inference.sliding_window import SIGMA_SCALE
from unet_med.recipe.sliding_window import SlidingWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from monai.utils import BlendMode

    from unet_med.backends import Execution, SlicePredictor
    from unet_med.bundle import Bundle
    from unet_med.recipe import Recipe

    RoiSize = int | None | Sequence[int | None]
    Overlap = float | Sequence[float]
    Network = Callable[[torch.Tensor], object]

T = TypeVar("T")

_WHOLE_SIDE = 1 << 31
"""Side of a window that no slice exceeds."""


def window_from_roi(
    roi_size: RoiSize, overlap: Overlap, mode: BlendMode | str, recipe: Recipe | None
) -> SlidingWindow:
    """Return the windows that MONAI's arguments mean.

    Args:
        roi_size: One side or (rows, columns) of a window, which then cuts every larger slice. A
            side of None, 0 or less is the slice's own, as in MONAI. ``None`` alone: the recipe's
            windows, or those above the usual pixel budget.
        overlap: Share of a window that the next one covers again, or one for rows and columns.
        mode: ``gaussian`` or ``constant``.
        recipe: Its windows count without ``roi_size``.

    Raises:
        InputError: Such windows cannot be made.

    Example:
        >>> window_from_roi((64, None), (0.5, 0.25), "constant", None).is_needed((60, 900))
        False
    """
    if roi_size is None and recipe is not None:
        return recipe.window
    shares = overlap if isinstance(overlap, int | float) else _pair(overlap, "overlap")
    try:
        window = SlidingWindow(overlap=shares, mode=str(getattr(mode, "value", mode)))
    except (TypeError, ValueError) as exc:
        msg = f"these windows cannot be made: {exc}"
        raise InputError(msg) from exc
    if roi_size is None:
        return window
    sides = (roi_size, roi_size) if isinstance(roi_size, int) else _pair(roi_size, "roi_size")
    rows, columns = (int(side) if side is not None and side > 0 else _WHOLE_SIDE for side in sides)
    return replace(window, size=(rows, columns), max_pixels=0)


def _pair(values: Sequence[T], name: str) -> tuple[T, T]:
    if len(values) != 2:  # noqa: PLR2004 - rows and columns
        msg = f"{name} needs one number or rows and columns of a slice, got {values!r}"
        raise InputError(msg)
    return values[0], values[1]


def refuse_unsupported(
    *,
    sigma_scale: float | Sequence[float] = SIGMA_SCALE,
    cpu_thresh: int | None = None,
    buffer_steps: int | None = None,
    buffer_dim: int = -1,
    with_coord: bool = False,
    condition: object = None,
) -> None:
    """Refuse arguments of MONAI's inferers that mean nothing for a stream of slices.

    Raises:
        InputError: One of them is not MONAI's default.

    Example:
        >>> refuse_unsupported(sigma_scale=0.125, buffer_dim=-1)
    """
    stitched = "slices are stitched one by one in main memory, so there is nothing to buffer"
    alone = "the network sees slices alone"
    reasons = {
        "sigma_scale": (sigma_scale != SIGMA_SCALE, f"it is always {SIGMA_SCALE}, MONAI's default"),
        "cpu_thresh": (cpu_thresh is not None, stitched),
        "buffer_steps": (buffer_steps is not None, stitched),
        "buffer_dim": (buffer_dim != -1, stitched),
        "with_coord": (with_coord, f"{alone}; give coordinates as channels of the volume"),
        "condition": (condition is not None, f"{alone}; give it as channels of the volume"),
    }
    for name, (given, why) in reasons.items():
        if given:
            msg = f"{name}: {why}; leave it out"
            raise InputError(msg)


def check_positive(**counts: int | None) -> None:
    """Refuse counts below 1.

    Raises:
        InputError: A count is given and below 1.

    Example:
        >>> check_positive(sw_batch_size=4, multiple=None)
    """
    for name, count in counts.items():
        if count is not None and count < 1:
            msg = f"{name} must be at least 1, got {count}"
            raise InputError(msg)


class SlicePadding:
    """Pad slices to the network's multiple with other values than zeros.

    Args:
        mode: ``constant``, ``reflect``, ``replicate`` or ``circular``, as in torch.
        value: Value of ``constant``.

    Raises:
        InputError: There is no such mode.

    Example:
        >>> padded = SlicePadding("replicate").around(lambda batch: batch + 1, multiple=4)
        >>> padded(torch.zeros(1, 1, 3, 5)).shape
        torch.Size([1, 1, 3, 5])
    """

    def __init__(
        self, mode: PytorchPadMode | str = PytorchPadMode.CONSTANT, value: float = 0.0
    ) -> None:
        try:
            self.mode = look_up_option(mode, PytorchPadMode).value
        except ValueError as exc:
            msg = f"padding_mode {mode!r}: {exc}"
            raise InputError(msg) from exc
        self.value = value

    def __bool__(self) -> bool:
        """Tell whether it differs from padding with zeros."""
        return (self.mode, self.value) != ("constant", 0.0)

    def around(self, network: Network, *, multiple: int) -> Network:
        """Return the network with padding before and cropping after it.

        Args:
            network: From slices (N, C, H', W') to logits (N, K, H', W').
            multiple: What H' and W' are multiples of.
        """

        def run(batch: torch.Tensor) -> object:
            rows, columns = batch.shape[-2:]
            margin = (0, -columns % multiple, 0, -rows % multiple)
            try:
                padded = torch.nn.functional.pad(batch, margin, self.mode, self.value)
            except RuntimeError as exc:  # reflect needs more pixels than it adds
                msg = f"{rows} × {columns} pixels cannot be padded by {self.mode}: {exc}"
                raise InputError(msg) from exc
            logits = network(padded)
            if isinstance(logits, torch.Tensor) and logits.shape[-2:] == padded.shape[-2:]:
                return logits[..., :rows, :columns]
            return logits  # refused where logits are taken

        return run


def check_recipe(recipe: Recipe | None, *, output: str, padding: SlicePadding) -> None:
    """Refuse an output that needs a recipe, and a padding that contradicts one.

    Raises:
        InputError: They do not go together.

    Example:
        >>> check_recipe(None, output="logits", padding=SlicePadding("reflect"))
    """
    if output not in {"logits", "labels"}:
        msg = f"output must be logits or labels, got {output!r}"
        raise InputError(msg)
    if output == "labels" and recipe is None:
        msg = "output='labels' needs a recipe, which says what the channels mean"
        raise InputError(msg)
    if recipe is not None and padding:
        msg = "with a recipe slices are padded with zeros: leave out padding_mode and cval"
        raise InputError(msg)


def open_exported(
    recipe: Recipe | None,
    weights: Path | str | None,
    execution: Execution | None,
    *,
    sw_device: torch.device | str | None = None,
) -> SlicePredictor | None:
    """Open the export that a backend other than torch runs; ``None`` for torch.

    Raises:
        InputError: The recipe or the weights are missing, or ``sw_device`` is given.

    Example:
        >>> open_exported(None, None, None)
    """
    if execution is None or execution.backend == "torch":
        return None
    if recipe is None or weights is None:
        msg = (
            f"backend {execution.backend} runs the bundle's export, not a torch network: give "
            "SlicewiseInferer recipe= and weights=, or use backend torch"
        )
        raise InputError(msg)
    if sw_device is not None:
        msg = "sw_device: an export runs on the device of execution; leave it out"
        raise InputError(msg)
    return open_predictor(recipe, Path(weights), execution)


def open_ensemble(
    recipe: Recipe | None, ensemble: Sequence[tuple[Bundle, Execution]]
) -> list[tuple[Recipe, SlicePredictor]]:
    """Check that further bundles fit the recipe, and load their networks.

    Raises:
        InputError: There is no recipe, or a bundle normalizes otherwise.

    Example:
        >>> open_ensemble(None, [])
        []
    """
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
