"""What the network gives: one channel per label, or one per region."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unet_med.dataset import CheckedCases

SHOWN_NOTE = (
    "volumes and Dice of a region are of what a mask shows of it, where no later one is painted "
    "over it; unet-med evaluate --region scores the whole of it"
)


@dataclass(frozen=True, slots=True)
class Outputs:
    """Labels of the recipe and how label maps become them.

    Attributes:
        labels: Value → name, in the order of the network's channels.
        activation: ``softmax`` over background and labels, or ``sigmoid``: one region each.
        regions: Value of the recipe → values of the label maps, with ``sigmoid``.
        notes: What was decided why.
    """

    labels: dict[int, str]
    activation: Literal["softmax", "sigmoid"] = "softmax"
    regions: dict[int, tuple[int, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def n_channels(self) -> int:
        """Outputs of the network."""
        return len(self.labels) + (1 if self.activation == "softmax" else 0)


def plan_outputs(checked: CheckedCases) -> Outputs:
    """Choose the network's outputs from the values that occur and the names that are stated."""
    naming = checked.found.naming
    values = checked.label_values()
    ignored = (
        () if naming.ignore is None else (f"value {naming.ignore} is left out of loss and scores",)
    )
    if naming.regions:
        return _regions(naming.regions, values, ignored)
    labels = {value: naming.labels.get(value, f"label {value}") for value in values}
    many = "" if len(labels) == 1 else "s"
    return Outputs(labels, notes=(f"{len(labels)} label{many}, softmax with background", *ignored))


def _regions(
    regions: Mapping[str, Sequence[int]], values: Sequence[int], ignored: tuple[str, ...]
) -> Outputs:
    """Paint large regions first; each is written as a value that no later region holds."""
    present = {name: set(parts) & set(values) for name, parts in regions.items()}
    order = sorted(
        (name for name in present if present[name]), key=lambda name: -len(present[name])
    )
    labels: dict[int, str] = {}
    parts: dict[int, tuple[int, ...]] = {}
    for number, name in enumerate(order):
        later = set().union(*(present[other] for other in order[number + 1 :]))
        own = sorted(present[name] - later - labels.keys()) or sorted(present[name] - labels.keys())
        value = own[0] if own else max([*values, *labels]) + 1
        labels[value] = name
        parts[value] = tuple(sorted(present[name]))
    painted = ", ".join(f"{name} as {value}" for value, name in labels.items())
    note = f"{len(labels)} regions, one sigmoid each, painted in this order: {painted}"
    return Outputs(labels, "sigmoid", parts, (note, SHOWN_NOTE, *ignored))
