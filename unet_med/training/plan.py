"""What a training run is to do: its cases, batches and optimizer, as data only.

The recipe stays the one source of what the network sees and gives (network, channels, spacing,
normalization, context, labels); the plan says how it is trained. It lies in the bundle as
``configs/plan.json``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unet_med._files import write_json
from unet_med.errors import RecipeError
from unet_med.geometry import AnatomicalAxis  # noqa: TC001 - `decode` reads it
from unet_med.recipe.decoding import check_schema_version, decode, load_json

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAN = Path("configs/plan.json")
FOLDS_PLAN = Path("folds/plan.json")
"""The plan of all folds of a cross-validation; `PLAN` is then that of the fold that was copied."""

PLAN_VERSION = 2
"""Raised when a key changes its name or meaning; plans of other versions are refused."""

MOST_PLAN_BYTES = 1 << 28
"""Largest plan that is read: it names every case, so it may be far larger than a recipe."""


@dataclass(frozen=True, slots=True)
class TrainingCase:
    """Name the files of one labeled examination.

    Example:
        >>> TrainingCase("a", ("a_T1.nii.gz",), "a_labels.nii.gz", patient="p1").images
        ('a_T1.nii.gz',)

    Attributes:
        id: Unique within a plan.
        images: One path per channel in the recipe's order, or one 4D file. Relative paths are
            meant from the bundle's folder.
        label: Path of the label map, on the grid of the images.
        patient: Who it is; cases of one patient never part over a fold or the validation.
        fold: Fold of a cross-validation; ``None`` = none.
    """

    id: str
    images: tuple[str, ...]
    label: str
    patient: str
    fold: int | None = None

    def __post_init__(self) -> None:
        """Refuse a case without a name or without images."""
        if not self.id or not self.images or not self.label:
            msg = f"a case needs an id, images and a label, got {self}"
            raise RecipeError(msg)


@dataclass(frozen=True, slots=True)
class OptimizerPlan:
    """State the optimizer of a run.

    Example:
        >>> OptimizerPlan("sgd", learning_rate=0.01).schedule
        'cosine'

    Attributes:
        name: ``adamw``, or ``sgd`` with Nesterov momentum 0.99.
        learning_rate: Highest of the run.
        weight_decay: As the optimizer has it.
        schedule: ``cosine`` after a short warm-up, ``poly`` (power 0.9), or ``constant``.
    """

    name: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    schedule: Literal["cosine", "poly", "constant"] = "cosine"

    def __post_init__(self) -> None:
        """Refuse rates that are none."""
        if not self.learning_rate >= 0 or not self.weight_decay >= 0:
            msg = (
                "learning_rate and weight_decay must be >= 0, got "
                f"{self.learning_rate} and {self.weight_decay}"
            )
            raise RecipeError(msg)


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """State what a run trains on and how, valid once built.

    Example:
        >>> case = TrainingCase("a", ("a.nii",), "b.nii", patient="p1")
        >>> plan = TrainingPlan((case,), patch_size=(64, 96), steps=500)
        >>> TrainingPlan.from_dict(plan.to_dict()) == plan
        True

    Attributes:
        cases: All cases, those held out included.
        validation: Ids of the cases held out: never trained on, used to keep the best weights.
        patch_size: Rows and columns of a training patch in pixels of the network's spacing;
            ``None`` = whole slices.
        batch_size: Patches per optimizer step, over all processes together.
        mirror_axes: Anatomical axes along which patches may be mirrored; only those in the slice's
            plane are.
        ignore_label: Label value that is left out of loss and scores; ``None`` = none.
        regions: Label value of the recipe → values of the label maps that make it up; a label
            that is not named stands for its own value.
        foreground_fraction: Share of patches that are placed on a labeled pixel; the labels take
            turns. The rest is drawn uniformly from all slices.
        balance: Power by which the cross-entropy of small classes counts more at the start of
            the run; it falls to 0 over the run. 0 = never.
        optimizer: How weights are moved.
        ema_decay: Decay of the averaged weights per step; 0 = none. Averaged weights are validated
            and saved.
        seed: Start of all random numbers.
        threads: CPU threads of each process; ``None`` = the processors of this process.
        minutes, epochs, steps: The budget; exactly one is stated. Minutes are wall time from the
            start of the process to the bundle on disk. An epoch has as many patches as there are
            training slices.
        patience: Validations without a better score after which a run ends early; ``None`` =
            never, since the learning rate comes down at the end of the run.
        merge_validation_after: Share of the epochs after which the cases held out are trained on,
            too, so that the last weights have seen all cases; scores are those before.
            ``None`` = never.
        deep_supervision: Train heads at the lower levels of the decoder, too; they are not saved.
        notes: Sentences for the reader: what was decided why.
    """

    cases: tuple[TrainingCase, ...]
    validation: tuple[str, ...] = ()
    patch_size: tuple[int, int] | None = None
    batch_size: int = 8
    mirror_axes: tuple[AnatomicalAxis, ...] = ()
    ignore_label: int | None = None
    regions: dict[int, tuple[int, ...]] = field(default_factory=dict)
    foreground_fraction: float = 0.5
    balance: float = 1.0
    optimizer: OptimizerPlan = field(default_factory=OptimizerPlan)
    ema_decay: float = 0.99
    seed: int = 0
    threads: int | None = None
    minutes: float | None = None
    epochs: int | None = None
    steps: int | None = None
    patience: int | None = None
    merge_validation_after: float | None = None
    deep_supervision: bool = False
    notes: tuple[str, ...] = ()
    schema_version: int = PLAN_VERSION

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        for problem in _problems(self):
            raise RecipeError(problem)

    @property
    def training_cases(self) -> tuple[TrainingCase, ...]:
        """The cases that are trained on."""
        return tuple(case for case in self.cases if case.id not in self.validation)

    @property
    def validation_cases(self) -> tuple[TrainingCase, ...]:
        """The cases held out, in the plan's order."""
        return tuple(case for case in self.cases if case.id in self.validation)

    @classmethod
    def load(cls, path: Path) -> TrainingPlan:
        """Read a plan.

        Raises:
            RecipeError: The file cannot be read, is no JSON, has unknown keys or wrong values.
        """
        return load_json(
            path,
            cls.from_dict,
            what="plan",
            advice="make one with unet-med plan",
            max_bytes=MOST_PLAN_BYTES,
        )

    @classmethod
    def from_dict(cls, content: Any) -> TrainingPlan:  # noqa: ANN401 - parsed JSON
        """Build a plan from parsed JSON.

        Raises:
            RecipeError: Unknown keys, missing keys or wrong values.
        """
        check_schema_version(content, PLAN_VERSION, what="plan")
        _refuse_older(content)
        return decode(cls, content, where="plan")

    @property
    def n_folds(self) -> int:
        """Number of folds that cases state; 1 = none is stated."""
        return 1 + max(case.fold or 0 for case in self.cases)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready content; ``from_dict`` gives the plan back."""
        content = asdict(self)
        content["regions"] = {str(value): list(parts) for value, parts in self.regions.items()}
        return {"schema_version": content.pop("schema_version"), **content}

    def save(self, path: Path) -> None:
        """Write the plan atomically as JSON."""
        write_json(path, self.to_dict())


def _refuse_older(content: Any) -> None:  # noqa: ANN401 - parsed JSON
    version = content.get("schema_version", 1) if isinstance(content, dict) else PLAN_VERSION
    if isinstance(version, int) and version < PLAN_VERSION:
        msg = (
            f"the plan has schema version {version}, this program reads {PLAN_VERSION}: plan again "
            "with unet-med plan"
        )
        raise RecipeError(msg)


def _problems(plan: TrainingPlan) -> Iterator[str]:
    ids = [case.id for case in plan.cases]
    if not ids:
        yield "a plan needs at least one case"
    if repeated := sorted({name for name in ids if ids.count(name) > 1}):
        yield f"case ids must differ, these repeat: {repeated}"
    if strangers := sorted(set(plan.validation) - set(ids)):
        yield f"validation names no case of the plan: {strangers}"
    if ids and not plan.training_cases:
        yield "every case is held out for validation: nothing is left to train on"
    if plan.seed < 0:
        yield f"seed must be 0 or more, got {plan.seed}"
    yield from _number_problems(plan)


def _number_problems(plan: TrainingPlan) -> Iterator[str]:
    if plan.patch_size is not None and min(plan.patch_size) < 1:
        yield f"patch_size must be two numbers of pixels >= 1, or null, got {list(plan.patch_size)}"
    counted = {"batch_size": plan.batch_size, "threads": plan.threads, "patience": plan.patience}
    for name, value in counted.items():
        if value is not None and value < 1:
            yield f"{name} must be at least 1, got {value}"
    if not (0 <= plan.foreground_fraction <= 1 and 0 <= plan.ema_decay < 1):
        yield (
            "foreground_fraction must lie in [0, 1] and ema_decay in [0, 1), got "
            f"{plan.foreground_fraction} and {plan.ema_decay}"
        )
    if not 0 <= plan.balance <= 1:
        yield f"balance must lie in [0, 1], got {plan.balance}"
    if plan.merge_validation_after is not None and not 0 < plan.merge_validation_after < 1:
        yield (
            "merge_validation_after must lie between 0 and 1, or be null; got "
            f"{plan.merge_validation_after}"
        )
    budget = [plan.minutes, plan.epochs, plan.steps]
    stated = [value for value in budget if value is not None]
    if len(stated) != 1 or not stated[0] > 0:
        yield f"state one of minutes, epochs and steps, above 0; got {budget}"
