"""Tiny bundles to train: heads on disk, a recipe and a plan."""

from __future__ import annotations

from dataclasses import replace

import torch

from tests.training.heads import write_pair
from unet_med.preprocessing import Normalization
from unet_med.recipe import Channel, NetworkRecipe, Recipe
from unet_med.training.engine import checkpoint
from unet_med.training.plan import TrainingCase, TrainingPlan

RECIPE = Recipe(
    name="tiny",
    network=NetworkRecipe(1, 4, (4, 8)),
    channels=(Channel("T1", "MR", Normalization("zscore", "above_mean", -5.0, 5.0)),),
    labels={1: "fluid", 2: "gray", 3: "white"},
)


def make_recipe(**changes):
    """Return a recipe of one channel and three labels."""
    return replace(RECIPE, **changes)


def write_cases(folder, names=("a", "b", "c")):
    """Write heads of unequal shapes and return them as cases with absolute paths."""
    cases = []
    for number, name in enumerate(names):
        write_pair(folder, name, seed=number, shape=(44 + 3 * number, 52, 24 - number))
        paths = [str(folder / kind / f"{name}.nii.gz") for kind in ("images", "labels")]
        cases.append(TrainingCase(name, (paths[0],), paths[1], name))
    return tuple(cases)


def make_plan(cases, **changes):
    """Return a plan of a few steps that holds nothing out."""
    values = {"cases": cases, "patch_size": (32, 24), "batch_size": 4, "threads": 1}
    if not {"minutes", "epochs", "steps"} & set(changes):
        values["steps"] = 4
    return TrainingPlan(**(values | changes))


def fill_the_disk_at_checkpoint(patch, number):
    """Let saving fail from the given checkpoint on, counted from 1, until the patch is undone."""
    written = []
    real = torch.save

    def save(content, stream):
        if "optimizer" in content:
            written.append(1)
        if len(written) >= number:
            raise OSError(28, "No space left on device")
        real(content, stream)

    patch.setattr(checkpoint.torch, "save", save)
