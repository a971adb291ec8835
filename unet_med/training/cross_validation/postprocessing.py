"""Which post-processing helps which label, judged by cases that the models have not seen."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from unet_med.inference import postprocess_labels
from unet_med.recipe import PostprocessingRule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from unet_med.geometry import Geometry
    from unet_med.recipe import Recipe

    Labels = NDArray[np.unsignedinteger]

LEAST_GAIN = 0.001
"""Mean Dice that a rule must gain over the cases: less is noise."""

FEWEST_CASES = 3
"""With fewer cases that hold a label nothing is chosen for it."""

SMALL_SHARE = 0.05
"""Components below this share of the label's smallest training volume are tried to be removed."""


@dataclass(frozen=True, slots=True)
class ChosenRule:
    """A rule that helps one label.

    Attributes:
        rule: What is done.
        gain: Mean Dice gained over the cases.
        better, worse: Cases whose Dice rises and falls.
    """

    rule: PostprocessingRule
    gain: float
    better: int
    worse: int

    def text(self, name: str) -> str:
        """Say what is done to a label and what it gains."""
        parts = []
        if self.rule.min_component_ml is not None:
            parts.append(f"components below {self.rule.min_component_ml:g} ml removed")
        if self.rule.largest_component:
            parts.append("largest component kept")
        if self.rule.fill_holes:
            parts.append("holes filled")
        effect = f"{self.gain:+.4f} mean Dice, {self.better} cases better, {self.worse} worse"
        return f"{name}: {', '.join(parts)} ({effect})"


@dataclass(slots=True)
class PostprocessingSearch:
    """Tries every rule on every label of one case after the other.

    Attributes:
        recipe: Labels and fingerprint; its own rules are left out.
    """

    recipe: Recipe
    _dice: dict[tuple[int, PostprocessingRule | None], list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(self, predicted: Labels, reference: NDArray[np.integer], geometry: Geometry) -> None:
        """Score one case.

        Args:
            predicted: Labels before post-processing, (i, j, k).
            reference: True labels.
            geometry: The grid.
        """
        for value in self.recipe.labels:
            true = reference == value
            plain = dice(predicted == value, true)
            self._dice[value, None].append(plain)
            for rule in candidates(self.recipe, value):
                changed = self._changed(predicted, value, rule, geometry)
                after = plain if changed is None else dice(changed == value, true)
                self._dice[value, rule].append(after)

    def choose(self) -> dict[int, ChosenRule]:
        """Return the best rule of each label that one helps, by label value."""
        chosen = {}
        for value in self.recipe.labels:
            tried = [
                _effect(rule, self._dice[value, None], self._dice[value, rule])
                for rule in candidates(self.recipe, value)
            ]
            helping = [one for one in tried if one is not None]
            if helping:
                chosen[value] = max(helping, key=lambda one: one.gain)
        return chosen

    def _changed(
        self, predicted: Labels, value: int, rule: PostprocessingRule, geometry: Geometry
    ) -> Labels | None:
        """Return the labels after a rule; None when the rule changes nothing."""
        labels = np.array(predicted)
        one = replace(self.recipe, postprocessing={str(value): rule})
        report = postprocess_labels(labels, one, geometry)
        touched = report.removed_voxels[value] + report.filled_voxels[value]
        return labels if touched else None


def candidates(recipe: Recipe, value: int) -> list[PostprocessingRule]:
    """Return the rules that are tried on a label."""
    rules = [PostprocessingRule(largest_component=True), PostprocessingRule(fill_holes=True)]
    rules.append(PostprocessingRule(largest_component=True, fill_holes=True))
    volumes = recipe.fingerprint.volumes_ml.get(recipe.labels[value])
    if volumes is not None and volumes[0] > 0:
        small = float(f"{SMALL_SHARE * volumes[0]:.3g}")
        rules += [
            PostprocessingRule(min_component_ml=small, fill_holes=fill) for fill in (False, True)
        ]
    return rules


def choose_rules(chosen: Mapping[int, ChosenRule]) -> dict[str, PostprocessingRule]:
    """Return the recipe's ``postprocessing`` of what was chosen."""
    return {str(value): one.rule for value, one in chosen.items()}


def dice(predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Return the volume Dice of two masks; NaN when both are empty."""
    total = int(predicted.sum()) + int(true.sum())
    return 2.0 * int((predicted & true).sum()) / total if total else float("nan")


def _effect(rule: PostprocessingRule, before: list[float], after: list[float]) -> ChosenRule | None:
    """Return what a rule does over the cases; None when it does not help."""
    # A label that a rule removes altogether where there is none: both empty, nothing to score
    # after, 0 before. That is right then, so it counts as 1.
    pairs = [
        (old, 1.0 if np.isnan(new) else new)
        for old, new in zip(before, after, strict=True)
        if not np.isnan(old)
    ]
    if len(pairs) < FEWEST_CASES:
        return None
    gains = np.array([new - old for old, new in pairs])
    better, worse = int((gains > 0).sum()), int((gains < 0).sum())
    if gains.mean() < LEAST_GAIN or better <= worse:
        return None
    return ChosenRule(rule, float(gains.mean()), better, worse)
