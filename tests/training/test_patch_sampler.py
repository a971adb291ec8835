"""Batches depend on the seed and the step; patches show what they say."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.utils.data import DataLoader

from tests.training.bundles import make_plan, make_recipe, write_cases
from unet_med.errors import InputError
from unet_med.training import BatchIndex, PatchBatches, SliceCache, StepSampler, TargetEncoding
from unet_med.training.augmentation import (
    AugmentationSettings,
    PatchFormat,
    augment,
    gaussian_blur,
)
from unet_med.training.data.patch_sampler import PatchSampler, extract_patch
from unet_med.training.target_encoding import IGNORE_INDEX


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    cases = write_cases(folder)
    recipe = make_recipe()
    cache = SliceCache(
        folder / "cache", recipe, TargetEncoding.from_recipe(recipe, make_plan(cases))
    )
    return cases, [cache.open(case, root=Path("/")) for case in cases]


def make_batches(cached, *, settings=None, rank=0, world_size=1, **plan):
    cases, opened = cached
    return PatchBatches(
        opened, recipe=make_recipe(), plan=make_plan(cases, **plan), settings=settings,
        rank=rank, world_size=world_size,
    )  # fmt: skip


def equal(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


def test_a_batch_depends_on_seed_and_step_only(cached):
    one, same, other = make_batches(cached), make_batches(cached), make_batches(cached, seed=1)
    assert equal(one[BatchIndex(3)], same[BatchIndex(3)])
    assert not equal(one[BatchIndex(3)], one[BatchIndex(4)])
    assert not equal(one[BatchIndex(3)], other[BatchIndex(3)])
    assert one[BatchIndex(3)]["image"].shape == (4, 1, 32, 24)
    assert one[BatchIndex(3)]["label"].shape == (4, 32, 24)


def test_late_cases_are_drawn_only_where_the_index_says_so(cached):
    cases, opened = cached
    plan = make_plan(cases, foreground_fraction=0.0)
    options = {"recipe": make_recipe(), "plan": plan, "settings": AugmentationSettings.none()}
    apart = PatchBatches(opened[:2], **options)
    joined = PatchBatches(opened[:2], validation=opened[2:], **options)
    everything = PatchBatches(opened, **options)
    assert len(joined) == len(apart)
    for step in range(4):
        assert equal(joined[BatchIndex(step)], apart[BatchIndex(step)])
        assert equal(joined[BatchIndex(step, True)], everything[BatchIndex(step)])
    steps = [BatchIndex(step) for step in range(4)]
    assert not all(equal(apart[step], everything[step]) for step in steps)
    sampler = StepSampler(3, last_held_out_epoch=1)
    assert list(sampler) == [(0, False), (1, False), (2, False)]
    sampler.set_epoch(1)
    assert list(sampler) == [(3, True), (4, True), (5, True)]


def test_processes_share_the_batch_of_one(cached):
    whole = make_batches(cached)[BatchIndex(7)]
    parts = [make_batches(cached, rank=rank, world_size=2)[BatchIndex(7)] for rank in (0, 1)]
    for key in whole:
        assert torch.equal(torch.cat([part[key] for part in parts]), whole[key])


@pytest.mark.parametrize("threads", [1, 2])
def test_neither_workers_nor_threads_matter(cached, threads):
    batches, sampler = make_batches(cached), StepSampler(2)
    sampler.set_epoch(3)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for workers in (0, 2):
            loader = DataLoader(batches, batch_size=None, sampler=sampler, num_workers=workers)
            for step, batch in zip((6, 7), loader, strict=True):
                assert equal(batch, make_batches(cached)[BatchIndex(step)])
    finally:
        torch.set_num_threads(before)


def test_without_variation_a_patch_is_the_slice(cached):
    _, opened = cached
    batches = make_batches(cached, settings=AugmentationSettings.none())
    batch = batches[BatchIndex(0)]
    for index in range(4):
        place = batches.sampler.sample(np.random.default_rng([0, 0, index]))
        image, codes = extract_patch(opened[place.case], place, (32, 24))
        np.testing.assert_allclose(batch["image"][index], image, atol=1e-5)
        np.testing.assert_array_equal(batch["label"][index], codes)


def test_whole_slices_fit_every_case(cached):
    batches = make_batches(cached, patch_size=None, settings=AugmentationSettings.none())
    batch = batches[BatchIndex(0)]
    assert batches.slice_shape == (52, 50)
    assert batch["image"].shape[2:] == (52, 52)  # rows 52, columns up to 50, multiples of 4
    assert (batch["label"] == IGNORE_INDEX).any()


def test_labels_take_turns_on_the_foreground_share():
    rng = np.random.default_rng(0)
    codes = np.zeros((50, 20, 30), np.uint8)
    codes[:40, 5:15, 5:25] = 1
    codes[7, 2, 3] = 2  # one pixel of one slice
    counts = np.stack([np.bincount(plane.ravel(), minlength=3) for plane in codes])
    case = SimpleNamespace(codes=codes, counts=counts, n_slices=50, shape=(20, 30))
    sampler = PatchSampler([case], (8, 8), foreground_fraction=0.5)
    places = [sampler.sample(rng) for _ in range(2000)]
    rare = np.mean([place.slice == 7 for place in places])
    assert rare == pytest.approx(0.25 + 0.25 / 40 + 0.5 / 50, abs=0.04)
    for place in places:
        assert 4 <= place.row <= 16
        assert 4 <= place.column <= 26


def test_no_label_at_all_is_said():
    case = SimpleNamespace(
        counts=np.zeros((3, 4), np.int64), n_slices=3, shape=(8, 8), codes=np.zeros((3, 8, 8))
    )
    with pytest.raises(InputError, match="nothing can be learned"):
        PatchSampler([case], (8, 8), foreground_fraction=0.5)


def test_a_batch_that_does_not_divide_is_refused(cached):
    with pytest.raises(InputError, match="3 processes"):
        make_batches(cached, world_size=3)


SMOOTH = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(64, 48)), 4).astype("f4")


def vary(image, codes, *, patch_size=(40, 32), count=64, **settings):
    values = vars_of(AugmentationSettings.none()) | {"margin": 1.0} | settings
    rngs = [np.random.default_rng([5, index]) for index in range(count)]
    form = PatchFormat(patch_size, 1, mirror_rows=True, mirror_columns=False)
    images = torch.from_numpy(np.broadcast_to(image, (count, 1, *image.shape)).copy())
    labels = torch.from_numpy(np.broadcast_to(codes, (count, *codes.shape)).copy())
    return augment(images, labels, rngs, form=form, settings=AugmentationSettings(**values))


def vars_of(settings):
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


def test_images_and_labels_move_together():
    codes = (SMOOTH > 0).astype(np.uint8) + 1
    images, labels = vary(SMOOTH, codes, rotate=1.0, scale=1.0, elastic=1.0, mirror=0.5)
    known = labels != IGNORE_INDEX
    agree = ((images[:, 0] > 0).to(torch.uint8) + 1 == labels)[known]
    assert agree.float().mean() > 0.97  # but for half a pixel along the border
    assert not torch.equal(labels[0], labels[1])


def test_only_allowed_axes_are_mirrored():
    rows, columns = np.mgrid[0:40, 0:32].astype("f4")
    codes = np.ones((40, 32), np.uint8)
    images, _ = vary(rows, codes, mirror=0.5)
    flipped = images[:, 0, 0, 0] > images[:, 0, -1, 0]
    assert 0.2 < flipped.float().mean() < 0.8
    images, _ = vary(columns, codes, mirror=0.5)
    assert (images[:, 0, 0, 0] < images[:, 0, 0, -1]).all()


def test_a_rotation_is_scipys():
    codes = np.ones(SMOOTH.shape, np.uint8)
    images, _ = vary(SMOOTH, codes, rotate=1.0, rotation_degrees=20.0, count=8)
    for index in range(8):
        rng = np.random.default_rng([5, index])
        rng.random(4)
        angle = np.radians(20.0) * rng.uniform(-1, 1, 4)[0]
        cosine, sine = np.cos(angle), np.sin(angle)
        matrix = np.array([[cosine, sine], [-sine, cosine]])  # rows before columns
        offset = np.array([31.5, 23.5]) - matrix @ np.array([19.5, 15.5])
        expected = ndimage.affine_transform(SMOOTH, matrix, offset, (40, 32), order=1)
        inner = (slice(8, -8), slice(8, -8))
        np.testing.assert_allclose(images[index, 0].numpy()[inner], expected[inner], atol=1e-4)


def test_blur_is_scipys():
    for sigmas in ((0.5, 0.5), (1.1, 0.7)):
        expected = ndimage.gaussian_filter(
            SMOOTH, sigmas, mode="nearest", radius=[max(1, int(2.5 * s + 0.5)) for s in sigmas]
        )
        found = gaussian_blur(torch.from_numpy(SMOOTH), sigmas)
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["gamma", "contrast", "noise", "blur", "low_resolution", "bias"])
def test_every_variation_changes_values_and_no_label(name):
    codes = (SMOOTH > 0).astype(np.uint8) + 1
    plain, labels = vary(SMOOTH, codes, count=6)
    images, moved = vary(SMOOTH, codes, count=6, **{name: 1.0})
    assert torch.equal(moved, labels)
    assert all(not torch.equal(image, plain[0]) for image in images)
    assert images.isfinite().all()
    assert np.corrcoef(images[0].ravel(), plain[0].ravel())[0, 1] > 0.5
