"""From a checked data set to a recipe and a training plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med._files import write_json
from unet_med.dataset import CheckedCases, as_dict, check_cases, find_training_cases
from unet_med.errors import InputError
from unet_med.planning.advice import advise
from unet_med.planning.fingerprint import take_fingerprint
from unet_med.planning.intensity import plan_channels
from unet_med.planning.outputs import plan_outputs
from unet_med.planning.override import changed_by
from unet_med.planning.sides import plan_mirror
from unet_med.planning.sizes import plan_sizes
from unet_med.planning.slabs import for_slabs
from unet_med.planning.slices import no_units, plan_context, plan_slice_axis
from unet_med.planning.split import plan_join, plan_validation
from unet_med.recipe import NetworkRecipe, Recipe
from unet_med.training import TrainingCase, TrainingPlan

if TYPE_CHECKING:
    from unet_med.dataset import CaseSurvey, LabeledCase
    from unet_med.dataset.check import Progress
    from unet_med.planning.network import Probe, Shape
    from unet_med.planning.outputs import Outputs
    from unet_med.planning.settings import PlanSettings, Source

RECIPE = Path("configs/recipe.json")
PLAN = Path("configs/plan.json")
DEEP_NOTE = "deep supervision: heads at the lower levels of the decoder are trained, too, as asked"


@dataclass(frozen=True, slots=True)
class Planned:
    """A checked data set with what was planned for it.

    Attributes:
        checked: The cases and all findings.
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
            "data": as_dict(self.checked),
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
    source: Source,
    settings: PlanSettings,
    *,
    probe: Probe | None = None,
    progress: Progress | None = None,
) -> Planned:
    """Find, check and plan: what ``unet-med plan`` and ``unet-med train`` begin with.

    Args:
        source: Where the cases lie, what is known of them, files that change the result.
        settings: Budget and wishes.
        probe: Measures seconds per training step; None plans by default sizes.
        progress: Follows the reading of cases.

    Returns:
        The findings and, unless there are errors, the recipe and the plan.

    Raises:
        InputError: Nothing is found, or a list cannot be used.
        RecipeError: A file of changes does not fit.
    """
    found = find_training_cases(
        source.images, source.labels, list_file=source.list_file, naming=source.naming
    )
    checked = check_cases(found, progress=progress)
    if source.skip_bad:
        checked = checked.without_bad()
    if checked.errors:
        return Planned(checked)
    recipe, plan = make_plan(checked, _with_given_sizes(settings, source), probe=probe)
    if settings.augmentation == "slabs":
        plan = for_slabs(plan)
    if settings.deep_supervision:
        plan = replace(plan, deep_supervision=True, notes=(*plan.notes, DEEP_NOTE))
    if source.recipe_file is not None:
        recipe = Recipe.from_dict(changed_by(recipe.to_dict(), source.recipe_file))
    if source.plan_file is not None:
        plan = TrainingPlan.from_dict(changed_by(plan.to_dict(), source.plan_file))
    return Planned(checked, recipe, plan)


def _with_given_sizes(settings: PlanSettings, source: Source) -> PlanSettings:
    """Take the network's sizes from a given recipe, so that no other network is timed."""
    if settings.sizes is not None or source.recipe_file is None:
        return settings
    network = changed_by({}, source.recipe_file).get("network")
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
    surveys = [survey for _, survey in cases]
    slices = plan_slice_axis(surveys, settings.slice_axis)
    context, context_note = plan_context(surveys, slices.array_axes)
    channels, channel_notes = plan_channels(checked)
    outputs = plan_outputs(checked)
    n_inputs = len(channels) * context.slices
    sizes = plan_sizes(
        surveys, slices, settings, channels=(n_inputs, outputs.n_channels), probe=probe
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
        fingerprint=take_fingerprint(
            surveys,
            slices.array_axes,
            channels=channels,
            labels=outputs.labels,
            regions=outputs.regions,
        ),
    )
    notes = (
        *slices.notes, context_note, *channel_notes, *outputs.notes, *sizes.notes,
        advise(surveys, slices.array_axes),
    )  # fmt: skip
    anatomical = not no_units(surveys, slices.array_axes)
    return recipe, _training_plan(
        checked, settings, shape=sizes.shape, outputs=outputs, notes=notes, anatomical=anatomical
    )


def _training_plan(
    checked: CheckedCases,
    settings: PlanSettings,
    *,
    shape: Shape,
    outputs: Outputs,
    notes: tuple[str, ...],
    anatomical: bool,
) -> TrainingPlan:
    cases = checked.usable
    ignore = checked.found.naming.ignore
    validation, split_note = plan_validation(
        cases, share=settings.holdout, seed=settings.seed, ignore=ignore
    )
    join, join_note = plan_join(cases, validation)
    mirror, mirror_note = _mirror(cases, settings, outputs, anatomical=anatomical)
    return TrainingPlan(
        cases=tuple(training_case(case) for case, _ in cases),
        validation=validation,
        crop=shape.crop,
        batch=shape.batch,
        mirror=mirror,  # type: ignore[arg-type]  # checked by the plan
        ignore=ignore,
        regions=outputs.regions,
        seed=settings.seed,
        threads=settings.threads,
        minutes=settings.time_budget,
        epochs=settings.epochs,
        steps=settings.steps,
        join_after=join,
        notes=(*notes, mirror_note, f"{checked.found.patients}; {split_note}{join_note}"),
    )


def _mirror(
    cases: tuple[tuple[LabeledCase, CaseSurvey], ...],
    settings: PlanSettings,
    outputs: Outputs,
    *,
    anatomical: bool,
) -> tuple[tuple[str, ...], str]:
    if settings.mirror is not None:
        return (
            settings.mirror,
            f"mirrored along {', '.join(settings.mirror) or 'no axis'}, as asked",
        )
    names = outputs.labels
    if outputs.regions:  # places are known of the maps' own values
        names = {v: outputs.labels[k] for k, parts in outputs.regions.items() for v in parts}
    return plan_mirror([survey for _, survey in cases], names, anatomical=anatomical)


def training_case(case: LabeledCase) -> TrainingCase:
    """Turn a found case into one of a plan, with absolute paths."""
    return TrainingCase(
        case.id,
        tuple(str(path.absolute()) for path in case.images),
        str(case.label.absolute()),
        case.patient,
        case.fold,
    )
