"""Which modality a channel is, told from its intensities, and how it is normalized."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from unet_med.preprocessing import Normalization
from unet_med.recipe import Channel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unet_med.dataset import ChannelSurvey, CheckedCases
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
    surveys = [survey for _, survey in checked.usable]
    naming = checked.found.naming
    channels: list[Channel] = []
    notes = []
    for number in range(len(surveys[0].channels)):
        scans = [survey.channels[number] for survey in surveys]
        stated = naming.modalities[number] if number < len(naming.modalities) else ""
        modality, why = _modality(scans, stated)
        rule, how = _normalization(modality, scans, checked.foreground[number])
        name = naming.channels[number] if number < len(naming.channels) else ""
        name = name or (modality if len(surveys[0].channels) == 1 else f"channel_{number}")
        name = _distinct("image" if name == "n/a" else name, [one.name for one in channels])
        channels.append(Channel(name, modality, rule))
        notes.append(f"channel {channels[-1].name}: {modality} ({why}); {how}")
    return tuple(channels), tuple(notes)


def _distinct(name: str, taken: Sequence[str]) -> str:
    """Number a name that another channel has: ranges and fine-tuning go by names."""
    numbered = (f"{name} {number}" for number in range(2, len(taken) + 2))
    return name if name not in taken else next(one for one in numbered if one not in taken)


def looks_like_ct(scan: ChannelSurvey) -> bool:
    """Whether intensities are Hounsfield units: air below −800, and a body above water."""
    return scan.minimum <= AIR_HU and LOWEST_TOP_HU <= scan.high <= HIGHEST_HU


def _modality(scans: Sequence[ChannelSurvey], stated: str) -> tuple[str, str]:
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
    modality: str, scans: Sequence[ChannelSurvey], foreground: IntensityStatistics
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
