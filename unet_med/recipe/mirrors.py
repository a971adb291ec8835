"""Test-time mirroring as a recipe names it: by anatomical axes, whichever lie in the slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from unet_med.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MirrorAxis = Literal["left-right", "anterior-posterior", "inferior-superior"]

MIRROR_AXES: tuple[MirrorAxis, ...] = get_args(MirrorAxis)
"""World axes 0, 1 and 2 by name."""

_ACROSS = {"sagittal": "left-right", "coronal": "anterior-posterior", "axial": "inferior-superior"}
"""The axis that slices of each name are stacked along, which they cannot be mirrored on."""


def parse_tta(text: object, recipe_tta: Sequence[MirrorAxis]) -> tuple[MirrorAxis, ...]:
    """Turn what a user asks for into mirror axes.

    Args:
        text: ``recipe``, ``none``, or axes joined by commas.
        recipe_tta: What the recipe says.

    Raises:
        RecipeError: An axis is unknown, or it is no text.

    Example:
        >>> parse_tta("left-right,anterior-posterior", ())
        ('left-right', 'anterior-posterior')
        >>> parse_tta("none", ("left-right",))
        ()
    """
    if not isinstance(text, str):  # such as a list in a bundle config
        msg = f"tta must be recipe, none, or axes joined by commas, got {text!r}"
        raise RecipeError(msg)
    if text == "recipe":
        return tuple(recipe_tta)
    if text == "none":
        return ()
    names = [part.strip() for part in text.split(",")]
    known = {str(axis): axis for axis in MIRROR_AXES}
    if unknown := [name for name in names if name not in known]:
        msg = f"no mirror axis {unknown[0]!r}: use none, recipe, or some of {','.join(MIRROR_AXES)}"
        raise RecipeError(msg)
    return tuple(known[name] for name in names)


def mirror_problems(tta: Sequence[str], slice_axis: str) -> Iterator[str]:
    """Yield what is wrong with a recipe's mirror axes, each as a text."""
    if len(set(tta)) < len(tta):
        yield f"tta names an axis twice: {list(tta)}"
    across = _ACROSS.get(slice_axis)
    if across in tta:
        yield f"tta cannot mirror {slice_axis} slices {across}, which is across them: leave it out"
