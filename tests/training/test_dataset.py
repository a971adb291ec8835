"""The dataset that a MONAI data loader reads."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from monai.data import DataLoader
from monai.transforms import Compose, LoadImaged, Orientationd

from tests.training.heads import SPACING_MM, write_pair
from unet_med.errors import InputError
from unet_med.preprocessing import Context, Normalisation
from unet_med.training import SlabDataset, SlabSettings, find_pairs

KEYS = ["image", "label"]
LOAD = Compose(
    [LoadImaged(KEYS, ensure_channel_first=True), Orientationd(KEYS, axcodes="RAS", labels=None)]
)
RECIPE = SimpleNamespace(
    context=Context(3, 4.0),
    in_plane_spacing_mm=2.0,
    channels=[SimpleNamespace(normalisation=Normalisation("zscore", "above_mean", -5.0, 5.0))],
)


@pytest.fixture
def folder(tmp_path):
    write_pair(tmp_path, "one")
    write_pair(tmp_path, "two", seed=1)
    return tmp_path


def make_dataset(folder, **options):
    defaults = {"recipe": RECIPE, "scans_per_epoch": 4, "folds_per_case": 1, "slices_per_scan": 3}
    return SlabDataset(
        find_pairs(folder), LOAD, settings=SlabSettings(crop=32), **(defaults | options)
    )


def test_one_batch_holds_the_slabs_of_several_scans(folder):
    batch = next(iter(DataLoader(make_dataset(folder), batch_size=2, num_workers=0)))
    assert batch["image"].shape == (6, 3, 32, 32)
    assert batch["label"].shape == (6, 1, 32, 32)


def test_an_item_depends_on_seed_epoch_and_index_only(folder):
    one, same = make_dataset(folder), make_dataset(folder)
    same[0]  # the order of reading does not matter
    assert torch.equal(one[2][0]["image"], same[2][0]["image"])
    assert not torch.equal(one[2][0]["image"], one[1][0]["image"])
    same.set_epoch(1)
    assert not torch.equal(one[2][0]["image"], same[2][0]["image"])
    other = make_dataset(folder, seed=1)
    assert not torch.equal(one[2][0]["image"], other[2][0]["image"])


def test_the_spacing_comes_from_the_file(folder):
    dataset = make_dataset(folder)
    dataset[0]
    for versions in dataset._sources:
        assert len(versions) == 2
        assert all(source.spacing_mm == SPACING_MM for source in versions)


def test_a_folder_without_images_says_what_it_needs(tmp_path):
    with pytest.raises(InputError, match="images/ and labels/"):
        find_pairs(tmp_path)


def test_an_image_without_labels_is_named(folder):
    (folder / "labels" / "two.nii.gz").unlink()
    with pytest.raises(InputError, match=r"two\.nii\.gz"):
        find_pairs(folder)
