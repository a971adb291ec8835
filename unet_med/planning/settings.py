"""What the user decides about a plan; all else follows from the data."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from unet_med.dataset import Naming
from unet_med.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_MINUTES = 15.0


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """Budget and wishes; None = decided from the data.

    Attributes:
        name: Name of the bundle.
        minutes, epochs, steps: The budget; at most one is stated, 15 minutes if none is.
        memory_gb: Memory that a training step may take.
        threads: CPU threads; None = the processors of this process.
        slice_axis: ``axial``, ``coronal``, ``sagittal`` or ``thickest``.
        spacing_mm: In-plane spacing of the network.
        sizes: Channels per level of the network.
        mirror: Anatomical axes that may be mirrored: ``left-right``, ``anterior-posterior``,
            ``inferior-superior``.
        holdout: Share of the patients held out for validation.
        augmentation: ``slices`` varies the scans' own slices; ``slabs`` draws random slabs of
            3D-deformed heads.
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
    mirror: tuple[str, ...] | None = None
    holdout: float = 0.2
    augmentation: Literal["slices", "slabs"] = "slices"
    deep_supervision: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse budgets that are none."""
        budget = {"minutes": self.minutes, "epochs": self.epochs, "steps": self.steps}
        stated = {name: value for name, value in budget.items() if value is not None}
        if len(stated) > 1 or any(not 0 < value < math.inf for value in stated.values()):
            msg = f"state one of minutes, epochs and steps, above 0; got {stated}"
            raise InputError(msg)
        if not self.memory_gb > 0 or not 0 <= self.holdout < 1:
            msg = (
                "memory must be above 0 GB and the share held out in [0, 1), got "
                f"{self.memory_gb} and {self.holdout}"
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
class Source:
    """Where cases come from, and what the user states of them.

    Attributes:
        images, labels: Folders; see `unet_med.dataset.find_training_cases`.
        list_file: CSV or JSON list of cases instead of folders.
        naming: Names of channels and labels, regions, the ignored value.
        skip_bad: Leave out cases that cannot be used instead of refusing them all.
        recipe_file, plan_file: JSON files whose fields replace those that were planned.
    """

    images: Path | None = None
    labels: Path | None = None
    list_file: Path | None = None
    naming: Naming = field(default_factory=Naming)
    skip_bad: bool = False
    recipe_file: Path | None = None
    plan_file: Path | None = None
