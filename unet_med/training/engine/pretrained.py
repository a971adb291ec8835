"""Prepare the network: start from another bundle's weights, freeze batch normalization."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch

from unet_med.bundle import open_bundle
from unet_med.bundle.weights import read_weights
from unet_med.training.distributed import is_main_process

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from unet_med.recipe import Recipe

logger = logging.getLogger(__name__)

FIRST = "down.0.block.0.weight"
LAST = ("last.weight", "last.bias")
_SHOWN = 3


def prepare_network(
    network: nn.Module,
    recipe: Recipe,
    *,
    device: torch.device,
    pretrained: Path | str | None = None,
    freeze: bool = False,
) -> nn.Module:
    """Return the network ready for training: on its device, channels last.

    Args:
        network: With random weights.
        recipe: Of the network.
        device: Where it is trained.
        pretrained: A bundle whose weights to start from, as far as they fit.
        freeze: Keep batch normalization at its running statistics.

    Example:
        >>> from unet_med.bundle import default_bundle
        >>> from unet_med.networks import UNet2D
        >>> from unet_med.recipe import Recipe
        >>> recipe = Recipe.load(default_bundle() / "configs/recipe.json")
        >>> network = UNet2D(5, 4, (4, 8))
        >>> network = prepare_network(network, recipe, device=torch.device("cpu"), freeze=True)
        >>> sum(isinstance(part, FrozenBatchNorm2d) for part in network.modules())
        10
    """
    if pretrained is not None:
        load_pretrained(network, pretrained, recipe)
    if freeze:
        freeze_batch_norm(network)
    network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


class FrozenBatchNorm2d(torch.nn.BatchNorm2d):
    """Batch normalization that keeps its running statistics, also while the rest trains."""

    @classmethod
    def from_batch_norm(cls, part: torch.nn.BatchNorm2d) -> FrozenBatchNorm2d:
        """Return a frozen copy of a layer, under the same names."""
        frozen = cls(part.num_features, part.eps, part.momentum, part.affine)
        frozen.load_state_dict(part.state_dict())
        frozen.train()
        return frozen

    def train(self, mode: bool = True) -> FrozenBatchNorm2d:  # noqa: FBT001, FBT002, ARG002 - torch's own
        """Stay as in evaluation."""
        return super().train(mode=False)


def freeze_batch_norm(network: nn.Module) -> nn.Module:
    """Keep batch normalization at its running statistics, in place; its weights are trained.

    Batches that processes share then give the gradients that one process would have.
    """
    for parent in list(network.modules()):
        for name, part in parent.named_children():
            if type(part) is torch.nn.BatchNorm2d:
                setattr(parent, name, FrozenBatchNorm2d.from_batch_norm(part))
    return network


def load_pretrained(network: nn.Module, bundle: Path | str, recipe: Recipe) -> list[str]:
    """Fill a network with what fits of a bundle's weights, in place.

    Layers of equal shape are copied. Of the first convolution the input channels are copied whose
    name, place in the context and number of context slices agree; of the last one the labels
    whose names agree, and the background.

    Args:
        network: The network to train, as the recipe has it.
        bundle: Folder of the other bundle.
        recipe: Of the network to train.

    Returns:
        One sentence for each part that was not taken, or only in part.

    Raises:
        BundleError, RecipeError, WeightsError: The bundle cannot be used.
    """
    other = open_bundle(bundle)
    given = read_weights(other.weights_path, sha256=other.recipe.weights_sha256)
    own = network.state_dict()
    said: list[str] = []
    strange = []
    with torch.no_grad():
        for key, tensor in own.items():
            source = given.get(key)
            if key == FIRST and source is not None and source.shape[0] == tensor.shape[0]:
                said += _copy_channels(tensor, source, recipe, other.recipe)
            elif key in LAST and source is not None and source.shape[1:] == tensor.shape[1:]:
                said += _copy_labels(tensor, source, recipe, other.recipe)
            elif source is not None and source.shape == tensor.shape:
                tensor.copy_(source)
            else:
                strange.append(key)
    if strange:
        more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
        said.append(f"{', '.join(strange[:_SHOWN])}{more} have other shapes and start at random")
    said = list(dict.fromkeys(said))
    if is_main_process():
        logger.info("starting from %s%s", other.root, ": all of it" if not said else "")
        for sentence in said:
            logger.warning("not taken from %s: %s", other.root.name, sentence)
    return said


def _copy_channels(
    tensor: torch.Tensor, source: torch.Tensor, recipe: Recipe, other: Recipe
) -> list[str]:
    names, given = _inputs(recipe), _inputs(other)
    found = [name for name in names if name in given]
    for name in found:
        tensor[:, names.index(name)] = source[:, given.index(name)]
    new = [name for name in names if name not in given]
    lost = [name for name in given if name not in names]
    said = [f"input channels {', '.join(new)} are new and start at random"] if new else []
    return said + ([f"input channels {', '.join(lost)} are not wanted here"] if lost else [])


def _copy_labels(
    tensor: torch.Tensor, source: torch.Tensor, recipe: Recipe, other: Recipe
) -> list[str]:
    names, given = _outputs(recipe), _outputs(other)
    if recipe.activation != other.activation:
        return [f"the last layer was trained with {other.activation} and starts at random"]
    for name in names:
        if name in given:
            tensor[names.index(name)] = source[given.index(name)]
    new = [name for name in names if name not in given]
    lost = [name for name in given if name not in names]
    said = [f"labels {', '.join(new)} are new and start at random"] if new else []
    return said + ([f"labels {', '.join(lost)} are not wanted here"] if lost else [])


def _inputs(recipe: Recipe) -> list[str]:
    context = recipe.context.slices
    return [
        channel.name if context == 1 else f"{channel.name} (slice {n + 1} of {context})"
        for n in range(context)
        for channel in recipe.channels
    ]


def _outputs(recipe: Recipe) -> list[str]:
    names = list(recipe.labels.values())
    return ["background", *names] if len(names) < recipe.network.out_channels else names
