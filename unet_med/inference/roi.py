"""Windows as MONAI's inferers are told of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from unet_med.errors import InputError
from unet_med.windows import WindowRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unet_med.recipe import Recipe


def window_rule(
    roi_size: Sequence[int] | None, overlap: float, mode: str, recipe: Recipe | None
) -> WindowRule:
    """Return the windows that MONAI's settings mean.

    Args:
        roi_size: Rows and columns of a window, which then cuts every larger slice; ``None`` = the
            recipe's windows, or those above the usual pixel budget.
        overlap: Share of a window that the next one covers.
        mode: ``gaussian`` or ``constant``.
        recipe: Whose windows count without ``roi_size``.

    Raises:
        InputError: Such windows cannot be made.
    """
    if roi_size is None and recipe is not None:
        return recipe.window
    try:
        rule = WindowRule(overlap=overlap, mode=mode)
        return rule if roi_size is None else replace(rule, size=_roi(roi_size), max_pixels=0)
    except InputError:
        raise
    except (TypeError, ValueError) as exc:
        msg = f"these windows cannot be made: {exc}"
        raise InputError(msg) from exc


def _roi(roi_size: Sequence[int]) -> tuple[int, int]:
    if isinstance(roi_size, int) or len(roi_size) != 2:  # noqa: PLR2004 - rows and columns
        msg = f"roi_size needs rows and columns of a window, got {roi_size!r}"
        raise InputError(msg)
    rows, columns = (int(size) for size in roi_size)
    return rows, columns
