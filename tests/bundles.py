"""Small real bundles for tests: random weights, every part that a shipped bundle has."""

from __future__ import annotations

from dataclasses import replace

import torch

from unet_med.bundle.weights import save_weights
from unet_med.networks import UNet2D
from unet_med.preprocessing import Normalization
from unet_med.recipe import Channel, NetworkRecipe, Recipe


def make_bundle(root, *, sizes=(4, 8), seed=0, n_channels=1, labels=None, **changes):
    """Write a bundle with random weights and return its folder."""
    labels = labels or {1: "one", 2: "two"}
    context = changes.get("context")
    in_channels = n_channels * (context.slices if context else 1)
    recipe = Recipe(
        name="tiny",
        network=NetworkRecipe(in_channels, len(labels) + 1, sizes),
        channels=tuple(
            Channel(f"channel{n}", "MR", Normalization("zscore", "above_mean", -5.0, 5.0))
            for n in range(n_channels)
        ),
        labels=labels,
        **changes,
    )
    torch.manual_seed(seed)
    network = UNet2D(in_channels, len(labels) + 1, sizes).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # statistics as after training
            torch.nn.init.normal_(module.running_mean, 0, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    with torch.inference_mode():  # center the logits, so that every label occurs
        network.last.weight *= 4
        logits = network(torch.randn(1, in_channels, 64, 64) - 1)
        network.last.bias -= logits.mean((0, 2, 3))
    digest = save_weights(network, root / "models" / "model.pt")
    replace(recipe, weights_sha256=digest).save(root / "configs" / "recipe.json")
    return root
