"""State how a plan is carried out, and say what came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unet_med.bundle import open_bundle
from unet_med.errors import InputError
from unet_med.training.engine.tensorboard_log import require_tensorboard

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunOptions:
    """State how a plan is carried out.

    With the same threads only ``init`` and ``precision`` change the weights.

    Attributes:
        resume: Go on from the checkpoint.
        init: Bundle whose weights to start from.
        cache: Folder for the preprocessed slices, which then stay; ``None`` = in the run's
            folder, removed at the end.
        workers: Processes that prepare batches; 0 = this one.
        precision: ``auto``, ``fp32`` or ``bf16``.
        tensorboard: Write event files for TensorBoard, too.
        batches: Dotted path of what makes the `BatchSource` in place of `build_batches`.
        command_line: For the model card.

    Example:
        >>> RunOptions(workers=2).precision
        'auto'
    """

    resume: bool = False
    init: Path | None = None
    cache: Path | None = None
    workers: int = 0
    precision: str = "auto"
    tensorboard: bool = False
    batches: str | None = None
    command_line: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be done here, before anything is read.

        Raises:
            InputError: There cannot be so many workers.
            BundleError, RecipeError: There is no bundle to start from.
            MissingExtraError: TensorBoard is not installed.
        """
        if self.workers < 0:
            msg = f"workers must be 0 or more, got {self.workers}"
            raise InputError(msg)
        if self.init is not None:
            open_bundle(self.init)
        if self.tensorboard:
            require_tensorboard()


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Say what a run has made.

    Attributes:
        root: The bundle.
        steps: Optimizer steps in all.
        dice: Mean volume Dice on the held-out cases; ``None`` = none was scored.
        cases: Dice per held-out case and label.
        validation_merged: Whether the last weights were trained on the cases held out, too, and
            the scores are of those before.
        n_held_out: Cases held out, scored or not.

    Example:
        >>> from pathlib import Path
        >>> TrainingResult(Path("b"), 500, 0.9, {"case": {"brain": 0.9}}).summary()
        'b: trained for 500 steps, mean Dice 0.900 on 1 held-out case'
    """

    root: Path
    steps: int
    dice: float | None
    cases: dict[str, dict[str, float | None]]
    validation_merged: bool = False
    n_held_out: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready content."""
        return {
            "bundle": str(self.root),
            "steps": self.steps,
            "held_out_mean_volume_dice": self.dice,
            "held_out_cases": self.cases,
            "then_trained_on_held_out": self.validation_merged,
        }

    def summary(self) -> str:
        """Return one line for a reader."""
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        if self.dice is None:
            why = "no case was held out to score it"
            if self.n_held_out:
                why = f"the {self.n_held_out} held out could not be scored: no time, or no label"
            return f"{self.root}: trained for {steps}; {why}"
        n = len(self.cases)
        what = f"{n} held-out case{'s' if n > 1 else ''}"
        what += ", before they were trained on, too" if self.validation_merged else ""
        return f"{self.root}: trained for {steps}, mean Dice {self.dice:.3f} on {what}"
