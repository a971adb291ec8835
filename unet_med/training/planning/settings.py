"""What the user decides about a plan, and files that override single fields of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unet_med.cases import DatasetInfo
from unet_med.errors import InputError, RecipeError

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_MINUTES = 15.0


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """State the user's budget and choices; None = decided from the data.

    Example:
        >>> PlanSettings().time_budget, PlanSettings(steps=500).time_budget
        (15.0, None)

    Attributes:
        name: Name of the bundle.
        minutes, epochs, steps: The budget; at most one is stated, 15 minutes if none is.
        memory_gb: Memory that a training step may take.
        threads: CPU threads; None = the processors of this process.
        slice_axis: ``axial``, ``coronal``, ``sagittal`` or ``thickest``.
        spacing_mm: In-plane spacing of the network.
        sizes: Channels per level of the network.
        mirror_axes: Anatomical axes that may be mirrored: ``left-right``, ``anterior-posterior``,
            ``inferior-superior``.
        val_fraction: Share of the patients held out for validation.
        deep_supervision: Train heads at the lower levels of the decoder, too.
        seed: Start of all random numbers.
    """

    name: str = "trained"
    minutes: float | None = None
    epochs: int | None = None
    steps: int | None = None
    memory_gb: float = 4.0
    threads: int | None = None
    slice_axis: str | None = None
    spacing_mm: float | None = None
    sizes: tuple[int, ...] | None = None
    mirror_axes: tuple[str, ...] | None = None
    val_fraction: float = 0.2
    deep_supervision: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse budgets that are none."""
        budget = {"minutes": self.minutes, "epochs": self.epochs, "steps": self.steps}
        stated = {name: value for name, value in budget.items() if value is not None}
        if len(stated) > 1 or any(not 0 < value < math.inf for value in stated.values()):
            msg = f"state one of minutes, epochs and steps, above 0; got {stated}"
            raise InputError(msg)
        if not self.memory_gb > 0 or not 0 <= self.val_fraction < 1:
            msg = (
                "memory must be above 0 GB and the share held out in [0, 1), got "
                f"{self.memory_gb} and {self.val_fraction}"
            )
            raise InputError(msg)
        if self.spacing_mm is not None and not 0 < self.spacing_mm < math.inf:
            msg = f"the spacing must be a number above 0 mm, got {self.spacing_mm}"
            raise InputError(msg)
        if self.seed < 0:
            msg = f"the seed must be 0 or more, got {self.seed}"
            raise InputError(msg)

    @property
    def time_budget(self) -> float | None:
        """Minutes to plan for; None when epochs or steps are stated."""
        if self.epochs is not None or self.steps is not None:
            return None
        return DEFAULT_MINUTES if self.minutes is None else self.minutes


@dataclass(frozen=True, slots=True)
class SourceData:
    """Say where cases come from, and what the user states of them.

    Example:
        >>> from pathlib import Path
        >>> SourceData(images=Path("scans"), labels=Path("masks")).skip_bad
        False

    Attributes:
        images, labels: Folders; see `unet_med.cases.find_training_cases`.
        list_file: CSV or JSON list of cases instead of folders.
        info: Names of channels and labels, regions, the ignored value.
        skip_bad: Leave out cases that cannot be used instead of refusing them all.
        recipe_file, plan_file: JSON files whose fields replace those that were planned.
    """

    images: Path | None = None
    labels: Path | None = None
    list_file: Path | None = None
    info: DatasetInfo = field(default_factory=DatasetInfo)
    skip_bad: bool = False
    recipe_file: Path | None = None
    plan_file: Path | None = None


_REPLACED_WHOLE = frozenset({"labels", "regions", "channels", "cases", "sizes"})
"""Lists and tables that mean something only as a whole."""


def with_overrides(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return content with the fields that a JSON file states put in their place.

    Objects are merged field by field, but `_REPLACED_WHOLE`; everything else is replaced.

    Args:
        content: A recipe or a plan as JSON-ready content.
        path: A JSON file with the fields to change, or all of them.

    Raises:
        RecipeError: The file cannot be read or holds no JSON object.
    """
    try:
        changes = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        msg = f"cannot read {path}: {exc.strerror or exc}"
        raise RecipeError(msg) from exc
    except (ValueError, RecursionError) as exc:
        msg = f"{path} is no valid JSON: {exc}"
        raise RecipeError(msg) from exc
    if not isinstance(changes, dict):
        msg = f"{path} must hold a JSON object with the fields to change"
        raise RecipeError(msg)
    return _merged(content, changes)


def _merged(content: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(content)
    for key, value in changes.items():
        before = content.get(key)
        deeper = isinstance(before, dict) and isinstance(value, dict) and key not in _REPLACED_WHOLE
        merged[key] = _merged(before, value) if deeper and before is not None else value
    return merged
