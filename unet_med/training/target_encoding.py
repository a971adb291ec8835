"""What the values of a label map ask of each output channel of the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.errors import LabelError
from unet_med.metrics import integer_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from unet_med.recipe import Recipe
    from unet_med.training.plan import TrainingPlan

IGNORE_INDEX = 255
"""Code of pixels that are left out of loss and scores: the ignore value, and what lies outside."""


@dataclass(frozen=True)
class TargetEncoding:
    """Encode label maps as bytes, and say what each byte means for the network.

    Example:
        >>> from unet_med.bundle import default_bundle
        >>> from unet_med.recipe import Recipe
        >>> from unet_med.training.plan import TrainingCase, TrainingPlan
        >>> recipe = Recipe.load(default_bundle() / "configs/recipe.json")
        >>> case = TrainingCase("a", ("a.nii",), "b.nii", "patient")
        >>> plan = TrainingPlan((case,), steps=1, regions={1: (1, 4)}, ignore_label=9)
        >>> encoding = TargetEncoding.from_recipe(recipe, plan)
        >>> codes = encoding.encode(np.array([[0, 3, 4, 9]]), name="label map")
        >>> codes.tolist(), encoding.to_labels(codes).tolist()
        ([[0, 3, 4, 255]], [[0, 3, 1, 0]])

    Attributes:
        values: Values of the label maps that some label of the recipe is made of, ascending; the
            n-th has code n + 1. Code 0 is everything else.
        ignore_label: Value that becomes `IGNORE_INDEX`.
        targets: (codes, K) float32: what each output channel is to say about each code.
        label_of_code: (codes,) int64: the recipe's label of each code, later regions over earlier
            ones.
    """

    values: tuple[int, ...]
    ignore_label: int | None
    targets: NDArray[np.float32]
    label_of_code: NDArray[np.int64]

    @classmethod
    def from_recipe(cls, recipe: Recipe, plan: TrainingPlan) -> TargetEncoding:
        """Return the codes of a recipe's labels.

        Raises:
            LabelError: There are too many values, or the ignore value is also a label.
        """
        parts = {value: plan.regions.get(value, (value,)) for value in recipe.labels}
        values = tuple(sorted({part for members in parts.values() for part in members} - {0}))
        if len(values) >= IGNORE_INDEX or plan.ignore_label in values:
            msg = (
                f"{len(values)} label values with ignore value {plan.ignore_label} cannot be "
                f"trained: at most {IGNORE_INDEX - 1}, and the ignore value must not be one of them"
            )
            raise LabelError(msg)
        background = int(recipe.activation == "softmax" and recipe.network.out_channels > 1)
        targets = np.zeros((len(values) + 1, recipe.network.out_channels), np.float32)
        label_of_code = np.zeros(len(values) + 1, np.int64)
        for channel, (label, members) in enumerate(parts.items(), start=background):
            rows = [values.index(part) + 1 for part in members if part]
            if background:
                targets[rows] = 0.0
            targets[rows, channel] = 1.0
            label_of_code[rows] = label
        if background:
            targets[targets.sum(axis=1) == 0, 0] = 1.0
        return cls(values, plan.ignore_label, targets, label_of_code)

    @property
    def n_codes(self) -> int:
        """Codes without `IGNORE_INDEX`."""
        return len(self.values) + 1

    def encode(self, labels: NDArray[Any], *, name: str) -> NDArray[np.uint8]:
        """Return the code of every voxel, same shape.

        Raises:
            LabelError: The values are no labels.
        """
        whole = integer_labels(labels, name=name)
        codes = np.zeros(whole.shape, np.uint8)
        for code, value in enumerate(self.values, start=1):
            codes[whole == value] = code
        if self.ignore_label is not None:
            codes[whole == self.ignore_label] = IGNORE_INDEX
        return codes

    def to_labels(self, codes: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the recipe's label of every code; ignored ones are 0."""
        table = np.zeros(256, np.int64)
        table[: self.n_codes] = self.label_of_code
        return np.asarray(table[codes])
