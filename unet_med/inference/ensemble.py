"""Several networks over one scan, slice by slice, and the mean of what they say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import tee
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from unet_med.errors import BundleError
from unet_med.inference.logits import MeanProbability
from unet_med.inference.prefetch import Prefetch
from unet_med.inference.profiling import StageTimer
from unet_med.inference.stream import iter_batches, iter_logits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from unet_med.backends import SlicePredictor
    from unet_med.geometry import Geometry
    from unet_med.inference.pipeline import SlicePipeline
    from unet_med.inference.slices import SliceSource
    from unet_med.preprocessing import Normalization
    from unet_med.recipe import Recipe
    from unet_med.volumes import Volume

    Batch = tuple[int, NDArray[np.float32]]

_SHARED = ("labels", "activation", "slice_axis", "temperature", "postprocessing")
"""Recipe fields in which the members of an ensemble must agree."""


@dataclass(frozen=True)
class EnsembleMember:
    """One network's way through one scan.

    Attributes:
        pipeline: The steps around the network.
        normalizations: One per channel.
        predictor: The network.
    """

    pipeline: SlicePipeline
    normalizations: tuple[Normalization, ...]
    predictor: SlicePredictor

    def has_same_input(self, other: EnsembleMember) -> bool:
        """Tell whether both networks take exactly the same input."""
        mine, its = self.pipeline, other.pipeline
        return (self.normalizations, mine.offsets, mine.resampler, mine.slices_per_step) == (
            other.normalizations,
            its.offsets,
            its.resampler,
            its.slices_per_step,
        )


def check_members(recipes: Sequence[Recipe]) -> None:
    """Refuse bundles whose probabilities cannot be averaged.

    They may differ in weights, network, in-plane spacing, context, windows, mirrors and
    normalization.

    Raises:
        BundleError: They differ in labels (order included), activation, channels, slice axis,
            temperature or post-processing.
    """
    first = recipes[0]
    for other in recipes[1:]:
        differing = [name for name in _SHARED if getattr(first, name) != getattr(other, name)]
        if list(first.labels.items()) != list(other.labels.items()):
            differing.append("the order of labels")
        if _channels(first) != _channels(other):
            differing.append("channels")
        if differing:
            msg = (
                f"{first.name} and {other.name} differ in {', '.join(dict.fromkeys(differing))}: "
                "an ensemble needs bundles that agree in them"
            )
            raise BundleError(msg)


def with_common_step(members: Sequence[EnsembleMember]) -> tuple[EnsembleMember, ...]:
    """Return the members with the same number of slices a step, the smallest of theirs."""
    step = min(member.pipeline.slices_per_step for member in members)
    return tuple(
        member
        if member.pipeline.slices_per_step == step
        else replace(member, pipeline=replace(member.pipeline, step=step))
        for member in members
    )


def iter_ensemble_logits(
    members: Sequence[EnsembleMember],
    make_source: Callable[[EnsembleMember], SliceSource],
    *,
    activation: str,
    timer: StageTimer | None = None,
) -> Iterator[Batch]:
    """Return an iterator of (first slice, logits (n, K, H, W) float32) of the mean probability.

    Logits lie on the scan's grid. Slices are read and prepared in threads, once for all networks
    that take the same input. A single member gives its own logits.

    Args:
        members: The networks, with a common step.
        make_source: Gives the slices that a member reads; called once per different input.
        activation: ``softmax`` or ``sigmoid``.
        timer: Takes the times of stages ``read``, ``network``, ``restore`` and ``average``.
    """
    timer = timer or StageTimer()
    streams = []
    alone = len(members) == 1  # of several networks one runs at a time: logits are large
    for group in group_by_input(members):
        batches = Prefetch(iter_batches(make_source(group[0]), group[0].pipeline, timer=timer))
        copies: Sequence[Iterable[Batch]] = (batches,)
        if len(group) > 1:
            copies = tee(batches, len(group))
        streams += [
            iter_logits(copy, member.pipeline, member.predictor, timer=timer, asynchronous=alone)
            for copy, member in zip(copies, group, strict=True)
        ]
    return streams[0] if alone else _average(streams, activation, timer)


def _average(
    streams: Sequence[Iterator[Batch]], activation: str, timer: StageTimer
) -> Iterator[Batch]:
    while True:
        mean, start = MeanProbability(activation), -1
        for stream in streams:  # one at a time: logits are large
            batch = next(stream, None)
            if batch is None:
                return
            with timer.stage("average"):
                start = batch[0]
                mean.add(batch[1])
            del batch
        with timer.stage("average"):
            logits = mean.logits()
        del mean
        yield start, logits
        del logits  # before the next ones are made


def group_by_input(members: Sequence[EnsembleMember]) -> list[list[EnsembleMember]]:
    """Group members that take the same input, keeping their order."""
    groups: list[list[EnsembleMember]] = []
    for member in members:
        for group in groups:
            if group[0].has_same_input(member):
                group.append(member)
                break
        else:
            groups.append([member])
    return groups


class SharedVolume:
    """A volume whose slabs along one axis are read once for several readers.

    Each reader asks for every slice once, in ascending order; a slice is forgotten when all
    have had it. Threads may read at once.
    """

    def __init__(self, volume: Volume, *, readers: int) -> None:
        self._volume = volume
        self._readers = readers
        self._kept: dict[int, tuple[NDArray[np.float32], int]] = {}
        self._next = 0
        self._lock = Lock()

    @property
    def geometry(self) -> Geometry:
        """The volume's grid."""
        return self._volume.geometry

    def read(self, start: int, stop: int, *, axis: int) -> NDArray[np.float32]:
        """Return the slab [start, stop) along the axis, (C, i, j, k) float32."""
        if self._readers == 1:
            return self._volume.read(start, stop, axis=axis)
        with self._lock:
            if self._next < stop:
                slab = self._volume.read(self._next, stop, axis=axis)
                for index in range(self._next, stop):
                    place = index - self._next
                    part = slab.take(range(place, place + 1), axis=axis + 1)
                    self._kept[index] = (part, self._readers)
                self._next = stop
            return self._take(start, stop, axis=axis)

    def _take(self, start: int, stop: int, *, axis: int) -> NDArray[np.float32]:
        parts = []
        for index in range(start, stop):
            part, wanted = self._kept.pop(index)
            parts.append(part)
            if wanted > 1:
                self._kept[index] = (part, wanted - 1)
        return np.concatenate(parts, axis=axis + 1)


def _channels(recipe: Recipe) -> list[tuple[str, str]]:
    return [(channel.name, channel.modality) for channel in recipe.channels]
