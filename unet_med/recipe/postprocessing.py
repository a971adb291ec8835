"""State the post-processing of each label: data of the recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Connectivity = Literal["faces", "edges", "corners"]


@dataclass(frozen=True, slots=True)
class PostprocessingRule:
    """State how one label is cleaned, in this order.

    Attributes:
        min_component_ml: Remove components smaller than this many milliliters.
        largest_component: Keep the largest component only; of equal ones, the first in the file.
        fill_holes: Give the label those background voxels that it encloses in 3D.
        connectivity: Voxels of one component touch by ``faces`` (6 neighbors), also by
            ``edges`` (18) or also by ``corners`` (26). Holes are connected the other way: by
            corners with ``faces``, else by faces.

    Example:
        >>> PostprocessingRule(min_component_ml=0.5, fill_holes=True).connectivity
        'corners'
    """

    min_component_ml: float | None = None
    largest_component: bool = False
    fill_holes: bool = False
    connectivity: Connectivity = "corners"

    def __post_init__(self) -> None:
        """Refuse rules that do nothing or cannot be carried out."""
        smallest = self.min_component_ml
        if smallest is not None and not (math.isfinite(smallest) and smallest > 0):
            msg = f"min_component_ml must be > 0 or null, got {smallest}"
            raise ValueError(msg)
        if smallest is None and not self.largest_component and not self.fill_holes:
            msg = (
                "a post-processing rule must do something: set min_component_ml, "
                "largest_component or fill_holes, or leave the label out"
            )
            raise ValueError(msg)


def rules_by_value(
    rules: Mapping[str, PostprocessingRule], labels: Mapping[int, str]
) -> dict[int, PostprocessingRule]:
    """Return the rule per label value, in the order of the recipe's labels.

    Args:
        rules: Keys are label values as text, or label names.
        labels: Label value to name.

    Returns:
        Only labels that have a rule; keys that fit none are left out.

    Example:
        >>> list(rules_by_value({"liver": PostprocessingRule(1.0)}, {6: "liver", 1: "spleen"}))
        [6]
    """
    found = {}
    for value, name in labels.items():
        for key in (str(value), name):
            if key in rules:
                found[value] = rules[key]
    return found


def postprocessing_problems(
    rules: Mapping[str, PostprocessingRule], labels: Mapping[int, str]
) -> Iterator[str]:
    """Yield what is wrong with the keys of a recipe's rules, each as a text."""
    taken: dict[int, str] = {}
    for key in rules:
        fitting = [value for value, name in labels.items() if key in (str(value), name)]
        if len(fitting) != 1:
            fits = f"fits {len(fitting)} labels" if fitting else "fits no label"
            yield f"postprocessing key {key!r} {fits}: use a label's value or its own name"
            continue
        if (other := taken.setdefault(fitting[0], key)) != key:
            yield f"postprocessing states label {fitting[0]} twice, as {other!r} and {key!r}"
