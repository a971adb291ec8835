"""Ignite handlers that a MONAI trainer needs around the slab dataset and plain weights."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ignite.engine import Events

from unet_med.weights import save_weights

if TYPE_CHECKING:
    from ignite.engine import Engine
    from torch import nn

    from unet_med.training.dataset import SlabDataset

logger = logging.getLogger(__name__)


class EpochSetter:
    """Tell the dataset (and a distributed sampler) the epoch, so that each epoch differs."""

    def __init__(self, dataset: SlabDataset, sampler: Any = None) -> None:  # noqa: ANN401
        """Build the handler.

        Args:
            dataset: The training data.
            sampler: A ``DistributedSampler`` or ``None``.
        """
        self.targets = [dataset] if sampler is None else [dataset, sampler]

    def attach(self, engine: Engine) -> None:
        """Act at the start of each epoch, the epoch counted from 0."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Set the epoch."""
        for target in self.targets:
            target.set_epoch(engine.state.epoch - 1)


class WeightsSaver:
    """Write the network's weights as a plain tensor ``state_dict`` after every few epochs."""

    def __init__(self, network: nn.Module, path: str | Path, *, interval: int = 1) -> None:
        """Build the handler.

        Args:
            network: Whose weights: the averaged one, where there is one.
            path: Target, replaced as a whole every time.
            interval: Epochs between two writes; the last epoch is always written.
        """
        self.network = network
        self.path = Path(path)
        self.interval = interval

    def attach(self, engine: Engine) -> None:
        """Act at the end of epochs and at the end of the run."""
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self)
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save."""
        digest = save_weights(self.network, self.path)
        logger.info("epoch %d: %s, sha256 %s", engine.state.epoch, self.path, digest)


class Averager:
    """Attach an ignite ``EMAHandler`` the way MONAI attaches its own handlers."""

    def __init__(self, average: Any) -> None:  # noqa: ANN401 - ignite is not typed
        """Build the handler.

        Args:
            average: An ``ignite.handlers.EMAHandler``.
        """
        self.average = average

    def attach(self, engine: Engine) -> None:
        """Update the average after every iteration."""
        self.average.attach(engine, name="ema_momentum", event=Events.ITERATION_COMPLETED)
