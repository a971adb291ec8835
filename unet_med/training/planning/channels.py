"""Input channels with modality and normalization, and output channels: labels or regions."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Literal

from unet_med.preprocessing import Normalization
from unet_med.recipe import Channel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unet_med.cases import ChannelStats, CheckedCases
    from unet_med.preprocessing import IntensityStatistics

CT = "CT"


AIR_HU = -800.0
"""CT scans hold air (−1000 HU; −1024 or lower outside the circle); lung is about −850."""


LOW_PERCENT, HIGH_PERCENT = 0.5, 99.5
"""Percentiles inside the labels to which CT is clipped, as nnU-Net has it."""


HIGHEST_HU = 4000.0
"""Bone ends at about 2000 HU, metal at the 12-bit limit of 3071, with an extended scale higher;
but the 99th percentile lies below this in any patient."""


LOWEST_TOP_HU = 20.0
"""The 99th percentile of a body in Hounsfield units lies above fat and water."""


ZERO_SHARE = 0.25
"""From this share of exact zeros on the zeros are taken as background that was cut away."""


AIR_MEDIAN = 0.15
"""When the median lies lower than this share of the range, most voxels are air."""


CLIP_STD = 5.0


def plan_channels(checked: CheckedCases) -> tuple[tuple[Channel, ...], tuple[str, ...]]:
    """Name each channel, tell its modality and choose its normalization.

    Args:
        checked: The data set; at least one usable case.

    Returns:
        The channels, and one sentence for each on what was decided why.
    """
    case_stats = [stats for _, stats in checked.usable]
    info = checked.found.info
    channels: list[Channel] = []
    notes = []
    for number in range(len(case_stats[0].channels)):
        scans = [stats.channels[number] for stats in case_stats]
        stated = info.modalities[number] if number < len(info.modalities) else ""
        modality, why = _modality(scans, stated)
        rule, how = _normalization(modality, scans, checked.foreground[number])
        name = info.channels[number] if number < len(info.channels) else ""
        name = name or (modality if len(case_stats[0].channels) == 1 else f"channel_{number}")
        name = _distinct("image" if name == "n/a" else name, [one.name for one in channels])
        channels.append(Channel(name, modality, rule))
        notes.append(f"channel {channels[-1].name}: {modality} ({why}); {how}")
    return tuple(channels), tuple(notes)


def _distinct(name: str, taken: Sequence[str]) -> str:
    """Number a name that another channel has: ranges and fine-tuning go by names."""
    numbered = (f"{name} {number}" for number in range(2, len(taken) + 2))
    return name if name not in taken else next(one for one in numbered if one not in taken)


def looks_like_ct(scan: ChannelStats) -> bool:
    """Whether intensities are Hounsfield units: air below −800, and a body above water."""
    return scan.minimum <= AIR_HU and LOWEST_TOP_HU <= scan.high <= HIGHEST_HU


def _modality(scans: Sequence[ChannelStats], stated: str) -> tuple[str, str]:
    if stated:
        return stated, "as the data set states"
    n_ct = sum(looks_like_ct(scan) for scan in scans)
    if 2 * n_ct > len(scans):
        lowest = median(scan.minimum for scan in scans)
        return CT, f"{n_ct} of {len(scans)} scans reach from air at about {lowest:g} HU to a body"
    eight_bit = all(scan.dtype == "uint8" for scan in scans)
    if min(scan.minimum for scan in scans) >= 0 and not eight_bit:
        return "MR", "no negative values, so no Hounsfield units; taken as MR"
    return "n/a", "8-bit gray values" if eight_bit else "no Hounsfield units, and negative values"


def _normalization(
    modality: str, scans: Sequence[ChannelStats], foreground: IntensityStatistics
) -> tuple[Normalization, str]:
    if modality.upper() == CT and foreground.n_voxels:
        inside = foreground.region("all")
        low, high = foreground.percentile(LOW_PERCENT), foreground.percentile(HIGH_PERCENT)
        if low < high and inside.std > 0:
            rule = Normalization("fixed", "all", low, high, inside.mean, inside.std)
            return rule, (
                f"clipped to {low:.4g} … {high:.4g} HU, percentiles {LOW_PERCENT} and "
                f"{HIGH_PERCENT} inside the labels of all cases, less {inside.mean:.4g}, "
                f"by {inside.std:.4g}"
            )
    if median(scan.zero_share for scan in scans) > ZERO_SHARE:
        return _zscore("nonzero"), "z-score of each scan over its voxels other than 0"
    relative = median((s.median - s.low) / max(s.high - s.low, 1e-30) for s in scans)
    if relative < AIR_MEDIAN:
        return _zscore("above_mean"), "z-score of each scan over its voxels above the mean"
    return _zscore("all"), "z-score of each scan"


def _zscore(region: str) -> Normalization:
    return Normalization("zscore", region, -CLIP_STD, CLIP_STD)  # type: ignore[arg-type]  # one of three


SHOWN_NOTE = (
    "volumes and Dice of a region are of what a mask shows of it, where no later one is painted "
    "over it; unet-med evaluate --region scores the whole of it"
)


@dataclass(frozen=True, slots=True)
class NetworkOutputs:
    """Labels of the recipe and how label maps become them.

    Attributes:
        labels: Value → name, in the order of the network's channels.
        activation: ``softmax`` over background and labels, or ``sigmoid``: one region each.
        regions: Value of the recipe → values of the label maps, with ``sigmoid``.
        notes: What was decided why.
    """

    labels: dict[int, str]
    activation: Literal["softmax", "sigmoid"] = "softmax"
    regions: dict[int, tuple[int, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def n_channels(self) -> int:
        """Outputs of the network."""
        return len(self.labels) + (1 if self.activation == "softmax" else 0)


def plan_outputs(checked: CheckedCases) -> NetworkOutputs:
    """Choose the network's outputs from the values that occur and the names that are stated."""
    info = checked.found.info
    values = checked.label_values()
    ignored = (
        () if info.ignore is None else (f"value {info.ignore} is left out of loss and scores",)
    )
    if info.regions:
        return _regions(info.regions, values, ignored)
    labels = {value: info.labels.get(value, f"label {value}") for value in values}
    many = "" if len(labels) == 1 else "s"
    return NetworkOutputs(
        labels, notes=(f"{len(labels)} label{many}, softmax with background", *ignored)
    )


def _regions(
    regions: Mapping[str, Sequence[int]], values: Sequence[int], ignored: tuple[str, ...]
) -> NetworkOutputs:
    """Paint large regions first; each is written as a value that no later region holds."""
    present = {name: set(parts) & set(values) for name, parts in regions.items()}
    order = sorted(
        (name for name in present if present[name]), key=lambda name: -len(present[name])
    )
    labels: dict[int, str] = {}
    parts: dict[int, tuple[int, ...]] = {}
    for number, name in enumerate(order):
        later = set().union(*(present[other] for other in order[number + 1 :]))
        own = sorted(present[name] - later - labels.keys()) or sorted(present[name] - labels.keys())
        value = own[0] if own else max([*values, *labels]) + 1
        labels[value] = name
        parts[value] = tuple(sorted(present[name]))
    painted = ", ".join(f"{name} as {value}" for value, name in labels.items())
    note = f"{len(labels)} regions, one sigmoid each, painted in this order: {painted}"
    return NetworkOutputs(labels, "sigmoid", parts, (note, SHOWN_NOTE, *ignored))
