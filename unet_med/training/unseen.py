"""The cases that a bundle's weights have never seen: what its evaluate.yaml scores by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med.errors import InputError
from unet_med.training.plan import PLAN, TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTEAD = "pass --dataset_dir FOLDER with images/ and labels/ of cases that it has not seen"


def why_not_scored(plan: TrainingPlan) -> str:
    """Say why a plan's cases cannot tell how good its weights are; empty = those held out can.

    Label maps of regions, or with a value to ignore, are not in the recipe's terms: scored as they
    are, the figures would be wrong.
    """
    if not plan.validation:
        return "it was trained on every case of its plan"
    if plan.join_after is not None:
        return "the cases held out were trained on, too, in the last part of its run"
    if plan.regions or plan.ignore is not None:
        return "the label maps of its cases hold regions, or a value to ignore"
    return ""


def unseen_data(root: Path | str) -> list[dict[str, Any]]:
    """List the cases that a trained bundle's plan holds out, for a MONAI dataset.

    Args:
        root: The bundle's folder.

    Returns:
        Per case ``case``, ``image`` (one path per channel) and ``label``.

    Raises:
        InputError: There is no case that the weights have not seen, or it is no longer there.
        RecipeError: There is no plan.
    """
    folder = Path(root)
    plan = TrainingPlan.load(folder / PLAN)
    if why := why_not_scored(plan):
        msg = f"{why}: {INSTEAD}"
        raise InputError(msg)
    data = list(_items(plan, folder))
    gone = [path for item in data for path in (*item["image"], item["label"]) if not _is(path)]
    if gone:
        msg = f"a case held out is no longer there: {gone[0]}; {INSTEAD}"
        raise InputError(msg)
    return data


def _items(plan: TrainingPlan, folder: Path) -> Iterator[dict[str, Any]]:
    for case in plan.validation_cases:
        images = [str(folder / path) for path in case.images]
        yield {"case": case.id, "image": images, "label": str(folder / case.label)}


def _is(path: str) -> bool:
    return Path(path).exists()
