"""Dice and cross-entropy against MONAI's loss and the slow obvious way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss

from tests.training.test_target_encoding import encoding_of, make_recipe
from unet_med.recipe import NetworkRecipe
from unet_med.training import DiceCrossEntropy
from unet_med.training.engine.loss import SMOOTH
from unet_med.training.target_encoding import IGNORE_INDEX


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 7, 5, generator=generator, requires_grad=True)
    codes = torch.randint(0, 4, (3, 7, 5), generator=generator, dtype=torch.uint8)
    return logits, codes


def test_it_is_monais_loss_over_the_batch(batch):
    logits, codes = batch
    ours = DiceCrossEntropy(encoding_of(), activation="softmax")(logits, codes)
    monai = DiceCELoss(
        include_background=False, to_onehot_y=True, softmax=True, batch=True,
        smooth_nr=SMOOTH, smooth_dr=SMOOTH,
    )  # fmt: skip
    theirs = monai(logits, codes[:, None].long())
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients)


def test_ignored_pixels_do_not_count(batch):
    logits, codes = batch
    loss = DiceCrossEntropy(encoding_of(), activation="softmax")
    codes[:, 3:] = IGNORE_INDEX
    whole = loss(logits, codes)
    torch.testing.assert_close(whole, loss(logits[:, :, :3], codes[:, :3]))
    assert not torch.autograd.grad(whole, logits)[0][:, :, 3:].any()


def test_small_classes_count_more_until_the_end(batch):
    logits, codes = batch
    codes[:] = 0
    codes[0, 0, :3] = 2
    codes[1, 2, 1] = 3
    loss = DiceCrossEntropy(encoding_of(), activation="softmax", balance=0.5, dice_weight=0.0)
    surprise = -torch.log_softmax(logits.detach(), dim=1).numpy()
    for progress in (0.0, 0.25, 1.0):
        loss.progress = progress
        power = 0.5 * (1 - progress)
        numbers = {0: 3 * 7 * 5 - 4, 2: 3, 3: 1}
        total = weights = 0.0
        for n, row, column in np.ndindex(3, 7, 5):
            code = int(codes[n, row, column])
            weight = numbers[code] ** -power
            total += weight * surprise[n, code, row, column]
            weights += weight
        assert loss(logits, codes).item() == pytest.approx(total / weights, rel=1e-5)


def test_regions_are_balanced_each_against_its_rest(batch):
    recipe = make_recipe(
        network=NetworkRecipe(1, 2, (4,)), activation="sigmoid", labels={1: "whole", 2: "core"}
    )
    encoding = encoding_of(recipe, regions={1: (1, 2, 3), 2: (2,)})
    logits, labels = batch[0][:, :2], batch[1]
    loss = DiceCrossEntropy(encoding, activation="sigmoid", balance=0.5, dice_weight=0.0)
    share = 1 / (1 + np.exp(-logits.detach().numpy().astype(float)))
    means = []
    for k, wanted in enumerate((labels.numpy() > 0, labels.numpy() == 2)):
        weights = np.where(wanted, wanted.sum() ** -0.5, (~wanted).sum() ** -0.5)
        surprise = -np.where(wanted, np.log(share[:, k]), np.log(1 - share[:, k]))
        means.append(np.average(surprise, weights=weights))
    assert loss(logits, labels).item() == pytest.approx(np.mean(means), rel=1e-5)


def test_a_batch_of_ignored_pixels_moves_nothing(batch):
    logits, codes = batch
    codes[:] = IGNORE_INDEX
    value = DiceCrossEntropy(encoding_of(), activation="softmax", balance=0.5)(logits, codes)
    assert value.item() == 0
    assert not torch.autograd.grad(value, logits)[0].any()


def test_regions_have_sigmoids_of_their_own(batch):
    recipe = make_recipe(
        network=NetworkRecipe(1, 2, (4,)), activation="sigmoid", labels={1: "whole", 2: "core"}
    )
    encoding = encoding_of(recipe, regions={1: (1, 2, 3), 2: (2,)})
    logits, labels = batch[0][:, :2], batch[1]
    loss = DiceCrossEntropy(encoding, activation="sigmoid")(logits, labels)
    share = 1 / (1 + np.exp(-logits.detach().numpy().astype(float)))
    wanted = np.stack([labels.numpy() > 0, labels.numpy() == 2], axis=1)
    entropy = -(wanted * np.log(share) + ~wanted * np.log(1 - share)).mean()
    overlap, total = (share * wanted).sum((0, 2, 3)), (share + wanted).sum((0, 2, 3))
    dice = ((2 * overlap + SMOOTH) / (total + SMOOTH)).mean()
    assert loss.item() == pytest.approx(1 - dice + entropy, rel=1e-5)


def test_a_batch_of_ignored_pixels_is_no_error(batch):
    logits, codes = batch
    loss = DiceCrossEntropy(encoding_of(), activation="softmax")(
        logits, torch.full_like(codes, 255)
    )
    assert loss.isfinite()
