"""From a checked data set to a recipe and a training plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med._files import write_json
from unet_med.cases import CheckedCases, check_cases, find_training_cases
from unet_med.errors import InputError
from unet_med.recipe import NetworkRecipe, Recipe
from unet_med.training.plan import TrainingCase, TrainingPlan
from unet_med.training.planning.channels import plan_channels, plan_outputs
from unet_med.training.planning.dimensionality import compare_2d_3d
from unet_med.training.planning.fingerprint import extract_fingerprint
from unet_med.training.planning.laterality import plan_mirror
from unet_med.training.planning.network import plan_sizes
from unet_med.training.planning.settings import with_overrides
from unet_med.training.planning.slices import no_units, plan_context, plan_slice_axis
from unet_med.training.planning.split import plan_merge_validation, plan_validation

if TYPE_CHECKING:
    from unet_med._progress import CaseProgress
    from unet_med.cases import CaseStats, LabeledCase
    from unet_med.training.planning.channels import NetworkOutputs
    from unet_med.training.planning.network import Probe, StepShape
    from unet_med.training.planning.settings import PlanSettings, SourceData

RECIPE = Path("configs/recipe.json")
PLAN = Path("configs/plan.json")
DEEP_NOTE = "deep supervision: heads at the lower levels of the decoder are trained, too, as asked"


@dataclass(frozen=True, slots=True)
class PlannedTraining:
    """A checked data set with what was planned for it.

    Attributes:
        checked: The cases and all issues.
        recipe, plan: What is to be trained and how; None when there are errors.
    """

    checked: CheckedCases
    recipe: Recipe | None = None
    plan: TrainingPlan | None = None

    @property
    def exit_code(self) -> int:
        """0 when training could start, 2 when errors forbid it."""
        return 2 if self.checked.errors or self.plan is None else 0

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready content."""
        return {
            "ok": self.exit_code == 0,
            "data": self.checked.as_dict(),
            "recipe": None if self.recipe is None else self.recipe.to_dict(),
            "plan": None if self.plan is None else self.plan.to_dict(),
        }

    def save(self, output: Path) -> None:
        """Write recipe and plan into a bundle's folder, or everything into one ``.json`` file.

        Raises:
            InputError: There is no plan.
            OutputError: A file cannot be written.
        """
        if self.recipe is None or self.plan is None:
            msg = "there is no plan to write: the data set has errors"
            raise InputError(msg)
        if output.suffix.lower() == ".json":
            write_json(output, self.as_dict())
            return
        self.recipe.save(output / RECIPE)
        self.plan.save(output / PLAN)


def plan_training(
    source: SourceData,
    settings: PlanSettings,
    *,
    probe: Probe | None = None,
    progress: CaseProgress | None = None,
) -> PlannedTraining:
    """Find, check and plan: what ``unet-med plan`` and ``unet-med train`` begin with.

    Args:
        source: Where the cases lie, what is known of them, files that change the result.
        settings: Budget and wishes.
        probe: Measures seconds per training step; None plans by default sizes.
        progress: Follows the reading of cases.

    Returns:
        The issues and, unless there are errors, the recipe and the plan.

    Raises:
        InputError: Nothing is found, or a list cannot be used.
        RecipeError: A file of changes does not fit.
    """
    found = find_training_cases(
        source.images, source.labels, list_file=source.list_file, info=source.info
    )
    checked = check_cases(found, progress=progress)
    if source.skip_bad:
        checked = checked.without_bad()
    if checked.errors:
        return PlannedTraining(checked)
    recipe, plan = make_plan(checked, _with_given_sizes(settings, source), probe=probe)
    if settings.deep_supervision:
        plan = replace(plan, deep_supervision=True, notes=(*plan.notes, DEEP_NOTE))
    if source.recipe_file is not None:
        recipe = Recipe.from_dict(with_overrides(recipe.to_dict(), source.recipe_file))
    if source.plan_file is not None:
        plan = TrainingPlan.from_dict(with_overrides(plan.to_dict(), source.plan_file))
    return PlannedTraining(checked, recipe, plan)


def _with_given_sizes(settings: PlanSettings, source: SourceData) -> PlanSettings:
    """Take the network's sizes from a given recipe, so that no other network is timed."""
    if settings.sizes is not None or source.recipe_file is None:
        return settings
    network = with_overrides({}, source.recipe_file).get("network")
    sizes = network.get("sizes") if isinstance(network, dict) else None
    return settings if sizes is None else replace(settings, sizes=tuple(sizes))


def make_plan(
    checked: CheckedCases, settings: PlanSettings, *, probe: Probe | None = None
) -> tuple[Recipe, TrainingPlan]:
    """Decide recipe and training plan for a data set without errors.

    Args:
        checked: The data set; at least one usable case with labels.
        settings: Budget and wishes.
        probe: Measures seconds per training step.
    """
    cases = checked.usable
    case_stats = [stats for _, stats in cases]
    slices = plan_slice_axis(case_stats, settings.slice_axis)
    context, context_note = plan_context(case_stats, slices.array_axes)
    channels, channel_notes = plan_channels(checked)
    outputs = plan_outputs(checked)
    n_inputs = len(channels) * context.slices
    sizes = plan_sizes(
        case_stats, slices, settings, channels=(n_inputs, outputs.n_channels), probe=probe
    )
    recipe = Recipe(
        name=settings.name,
        network=NetworkRecipe(n_inputs, outputs.n_channels, sizes.shape.sizes),
        channels=channels,
        labels=outputs.labels,
        slice_axis=slices.axis,  # type: ignore[arg-type]  # one of its names
        in_plane_spacing_mm=sizes.spacing_mm,
        activation=outputs.activation,
        context=context,
        fingerprint=extract_fingerprint(
            case_stats,
            slices.array_axes,
            channels=channels,
            labels=outputs.labels,
            regions=outputs.regions,
        ),
    )
    notes = (
        *slices.notes, context_note, *channel_notes, *outputs.notes, *sizes.notes,
        compare_2d_3d(case_stats, slices.array_axes),
    )  # fmt: skip
    anatomical = not no_units(case_stats, slices.array_axes)
    return recipe, _training_plan(
        checked, settings, shape=sizes.shape, outputs=outputs, notes=notes, anatomical=anatomical
    )


def _training_plan(
    checked: CheckedCases,
    settings: PlanSettings,
    *,
    shape: StepShape,
    outputs: NetworkOutputs,
    notes: tuple[str, ...],
    anatomical: bool,
) -> TrainingPlan:
    cases = checked.usable
    ignore = checked.found.info.ignore
    validation, split_note = plan_validation(
        cases, share=settings.val_fraction, seed=settings.seed, ignore=ignore
    )
    join, join_note = plan_merge_validation(cases, validation)
    mirror, mirror_note = _mirror(cases, settings, outputs, anatomical=anatomical)
    return TrainingPlan(
        cases=tuple(training_case(case) for case, _ in cases),
        validation=validation,
        patch_size=shape.patch_size,
        batch_size=shape.batch_size,
        mirror_axes=mirror,  # type: ignore[arg-type]  # checked by the plan
        ignore_label=ignore,
        regions=outputs.regions,
        seed=settings.seed,
        threads=settings.threads,
        minutes=settings.time_budget,
        epochs=settings.epochs,
        steps=settings.steps,
        merge_validation_after=join,
        notes=(*notes, mirror_note, f"{checked.found.patients}; {split_note}{join_note}"),
    )


def _mirror(
    cases: tuple[tuple[LabeledCase, CaseStats], ...],
    settings: PlanSettings,
    outputs: NetworkOutputs,
    *,
    anatomical: bool,
) -> tuple[tuple[str, ...], str]:
    if settings.mirror_axes is not None:
        return (
            settings.mirror_axes,
            f"mirrored along {', '.join(settings.mirror_axes) or 'no axis'}, as asked",
        )
    names = outputs.labels
    if outputs.regions:  # places are known of the maps' own values
        names = {v: outputs.labels[k] for k, parts in outputs.regions.items() for v in parts}
    return plan_mirror([stats for _, stats in cases], names, anatomical=anatomical)


def training_case(case: LabeledCase) -> TrainingCase:
    """Turn a found case into one of a plan, with absolute paths."""
    return TrainingCase(
        case.id,
        tuple(str(path.absolute()) for path in case.images),
        str(case.label.absolute()),
        case.patient,
        case.fold,
    )
