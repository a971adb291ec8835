"""Random slices as training batches."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from sample_data.synthesis.batches import SyntheticBatches, read_source
from tests.training.bundles import make_plan, make_recipe, write_cases
from tests.training.heads import SPACING_MM
from unet_med.errors import InputError
from unet_med.preprocessing import Context
from unet_med.recipe import NetworkRecipe
from unet_med.training import BatchIndex

RECIPE = make_recipe(
    network=NetworkRecipe(3, 4, (4, 8)), context=Context(3, 4.0), in_plane_spacing_mm=2.0
)


def make_batches(cases, *, rank=0, world_size=1, recipe=RECIPE, **plan):
    plan = make_plan(cases, **({"patch_size": (32, 32), "batch_size": 8} | plan))
    return SyntheticBatches("/", recipe=recipe, plan=plan, rank=rank, world_size=world_size)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return write_cases(tmp_path_factory.mktemp("heads"), ["one", "two"])


def test_a_batch_depends_on_seed_and_step_only(cases):
    one, same = make_batches(cases), make_batches(cases)
    same[BatchIndex(0)]  # the order of reading does not matter
    batch = one[BatchIndex(2)]
    assert batch["image"].shape == (8, 3, 32, 32)
    assert batch["label"].shape == (8, 32, 32)
    assert set(batch["label"].unique().tolist()) <= {0, 1, 2, 3}
    assert torch.equal(batch["image"], same[BatchIndex(2)]["image"])
    assert not torch.equal(batch["image"], one[BatchIndex(1)]["image"])
    assert not torch.equal(batch["image"], make_batches(cases, seed=1)[BatchIndex(2)]["image"])


def test_processes_share_the_scans_of_one(cases):
    whole = make_batches(cases)[BatchIndex(3)]
    parts = [make_batches(cases, rank=rank, world_size=2)[BatchIndex(3)] for rank in (0, 1)]
    for key in whole:
        assert torch.equal(torch.cat([part[key] for part in parts]), whole[key])


def test_a_source_is_read_in_ras_order(cases):
    paths = {"image": cases[0].images[0], "label": cases[0].label}
    source = read_source(paths)
    assert source.spacing_mm == pytest.approx(SPACING_MM)
    np.testing.assert_array_equal(source.labels, np.asarray(nib.load(paths["label"]).dataobj))


@pytest.mark.parametrize(
    ("plan", "recipe", "said"),
    [
        ({"patch_size": (32, 24)}, RECIPE, "square"),
        ({"batch_size": 6}, RECIPE, "multiple of 4"),
        ({}, make_recipe(labels={1: "a", 2: "b", 4: "c"}), "without gaps"),
    ],
)
def test_what_synthesis_cannot_do_is_said(cases, plan, recipe, said):
    with pytest.raises(InputError, match=said):
        make_batches(cases, recipe=recipe, **plan)


def test_the_largest_slice_of_all_cases(cases):
    assert make_batches(cases).slice_shape == (52, 47)
