"""Spacing, crop, network and batch, which hang together when time is short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unet_med.planning.network import Shape, plan_crop, plan_network
from unet_med.planning.slices import plan_coarser, plan_spacing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unet_med.dataset import CaseSurvey
    from unet_med.planning.network import NetworkPlan, Probe
    from unet_med.planning.settings import PlanSettings
    from unet_med.planning.slices import SlicePlan


@dataclass(frozen=True, slots=True)
class SizePlan:
    """What was chosen.

    Attributes:
        spacing_mm: In-plane spacing of the network; None = native.
        shape: Network, crop and batch.
        notes: Why.
    """

    spacing_mm: float | None
    shape: Shape
    notes: tuple[str, ...]


def plan_sizes(
    surveys: Sequence[CaseSurvey],
    slices: SlicePlan,
    settings: PlanSettings,
    *,
    channels: tuple[int, int],
    probe: Probe | None,
) -> SizePlan:
    """Choose the spacing, then crop, network and batch, and once more on coarser pixels if need be.

    Args:
        surveys: The cases.
        slices: How they become slices.
        settings: Budget and wishes.
        channels: Input and output channels of the network.
        probe: Measures seconds per training step of a shape.
    """
    spacing, note = plan_spacing(
        surveys, slices.array_axes, wish=settings.spacing_mm, minutes=settings.time_budget
    )

    def sized(spacing_mm: float | None) -> tuple[str, NetworkPlan]:
        crop, why = plan_crop(surveys, slices.axis, spacing_mm)
        return why, plan_network(Shape((), *channels, crop, 1, settings.threads), settings, probe)

    crop_note, network = sized(spacing)
    if settings.spacing_mm is None and network.share is not None and network.share < 1:
        coarser = plan_coarser(surveys, slices.array_axes, spacing, share=network.share)
        if coarser is not None:
            spacing, note = coarser
            crop_note, network = sized(spacing)
    return SizePlan(spacing, network.shape, (note, crop_note, *network.notes))
