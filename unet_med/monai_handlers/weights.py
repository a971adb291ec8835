"""A bundle's weights for MONAI's engines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ignite.engine import Events

from unet_med.weights import load_weights

if TYPE_CHECKING:
    from ignite.engine import Engine
    from torch import nn


class WeightsLoader:
    """Load a bundle's weights when an engine starts, strictly and as plain tensors only.

    Unlike MONAI's ``CheckpointLoader`` it refuses weights that do not fit the recipe, by their
    digest, keys and shapes, with one line that says what to do.

    Args:
        network: The module to fill, in place.
        path: ``models/model.pt``.
        sha256: Digest that the recipe states; empty = not checked.
    """

    def __init__(self, network: nn.Module, *, path: str | Path, sha256: str = "") -> None:
        self.network = network
        self.path = Path(path)
        self.sha256 = sha256

    def attach(self, engine: Engine) -> None:
        """Load at the start of every run of the engine."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, _engine: Engine) -> None:
        """Load the weights."""
        load_weights(self.network, self.path, sha256=self.sha256)
