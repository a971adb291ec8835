"""One case per frame of a 4D file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from unet_med.errors import UnetMedError
from unet_med.volumes import open_volume

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unet_med.cases.case import Case
    from unet_med.volumes import ReadRules


def split_frames(cases: Iterable[Case], rules: ReadRules) -> tuple[Case, ...]:
    """Replace each case of a 4D file by one per frame, ``<id>_frame0000`` and so on.

    Only headers are read. A 3D file stays one case with its own name; a file that cannot be read
    becomes a case with a problem.

    Args:
        cases: As found.
        rules: How their scans are read.
    """
    return tuple(frame for case in cases for frame in _frames(case, rules))


def _frames(case: Case, rules: ReadRules) -> list[Case]:
    if case.problem is not None:
        return [case]
    try:
        scan = open_volume(case.paths[0], limits=rules.limits, series=rules.series)
    except UnetMedError as exc:
        return [replace(case, problem=str(exc))]
    count = scan.n_channels
    if count == 1:
        return [case]
    return [replace(case, id=f"{case.id}_frame{n:04d}", channel=n) for n in range(count)]
