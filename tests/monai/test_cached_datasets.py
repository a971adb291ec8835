"""Traps of MONAI's caches and tensors that a pipeline of this package meets.

Traps of single parts (saving, inverting, orientation, sliding windows) are tested beside them.
"""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import CacheDataset, DataLoader, MetaTensor, PersistentDataset
from monai.transforms import Compose

from unet_med.errors import InputError
from unet_med.monai import SlicewiseInferer
from unet_med.monai.transforms import LoadVolumed, NormalizeVolumed
from unet_med.networks import UNet2D
from unet_med.recipe import Channel, NetworkRecipe, Recipe

AFFINE = np.array([[0, 0, 3.0, -20], [-0.8, 0, 0, 30], [0, 0.9, 0, -10], [0, 0, 0, 1]])
"""Array axes point to the back, to the top and to the right: k is no axial slice axis."""


@pytest.fixture
def recipe():
    return Recipe(
        name="small",
        network=NetworkRecipe(1, 2, (4, 8)),
        channels=(Channel("T1"),),
        labels={1: "bright"},
        in_plane_spacing_mm=1.0,
    )


@pytest.fixture
def network():
    torch.manual_seed(0)
    return UNet2D(1, 2, (4, 8)).eval()


@pytest.fixture
def data(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 500, (21, 17, 5)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, AFFINE), tmp_path / "scan.nii.gz")
    return [{"image": str(tmp_path / "scan.nii.gz")}]


@pytest.fixture
def transform(recipe):
    rules = [channel.normalization for channel in recipe.channels]
    return Compose(
        [LoadVolumed(keys="image"), NormalizeVolumed(keys="image", normalizations=rules)]
    )


def run(dataset, inferer, network):
    """Return the labels that the first batch of a dataset leads to."""
    batch = next(iter(DataLoader(dataset, batch_size=1, num_workers=0)))
    with torch.inference_mode():
        return inferer(batch["image"], network)


def test_a_cache_in_memory_changes_nothing(data, transform, recipe, network):
    inferer = SlicewiseInferer(recipe=recipe, output="labels")
    cached = CacheDataset(data, transform, progress=False)
    first, second = run(cached, inferer, network), run(cached, inferer, network)
    expected = run([transform(data[0])], inferer, network)
    assert torch.equal(first.as_tensor(), expected.as_tensor())
    assert torch.equal(second.as_tensor(), expected.as_tensor())
    np.testing.assert_array_equal(second.affine[0], nib.load(data[0]["image"]).affine)


def test_a_cache_on_disk_that_drops_the_affine_cannot_give_a_wrong_mask(
    data, transform, recipe, network, tmp_path
):
    """MONAI's PersistentDataset returns a MetaTensor first, and a plain tensor from its cache."""
    inferer = SlicewiseInferer(recipe=recipe, output="labels")
    cached = PersistentDataset(data, transform, cache_dir=tmp_path / "cache")
    cached[0]  # fills the cache
    assert not isinstance(cached[0]["image"], MetaTensor), "the trap is gone: drop this test"
    with pytest.raises(InputError, match="track_meta=True and weights_only=False"):
        run(cached, inferer, network)


def test_a_cache_on_disk_that_keeps_the_affine_changes_nothing(
    data, transform, recipe, network, tmp_path
):
    inferer = SlicewiseInferer(recipe=recipe, output="labels")
    cached = PersistentDataset(
        data, transform, cache_dir=tmp_path / "cache", track_meta=True, weights_only=False
    )
    cached[0]
    from_disk = run(cached, inferer, network)
    expected = run([transform(data[0])], inferer, network)
    assert torch.equal(from_disk.as_tensor(), expected.as_tensor())


def test_the_network_sees_plain_tensors(data, transform, recipe):
    """Each small operation on a MetaTensor costs four times as much."""
    kinds = set()

    def network(batch):
        kinds.add(type(batch))
        return torch.cat([batch, -batch], dim=1)

    run([transform(data[0])], SlicewiseInferer(recipe=recipe), network)
    assert kinds == {torch.Tensor}
