"""One case per frame of a 4D file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from unet_med.errors import UnetMedError
from unet_med.volumes import open_volume

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unet_med.cases.case import Case


def split_frames(cases: Iterable[Case]) -> tuple[Case, ...]:
    """Replace each case of a 4D file by one per frame, ``<id>_frame0000`` and so on.

    Only headers are read. A 3D file stays one case with its own name; a file that cannot be read
    becomes a case with a problem.
    """
    return tuple(frame for case in cases for frame in _frames(case))


def _frames(case: Case) -> list[Case]:
    if case.problem is not None:
        return [case]
    try:
        count = open_volume(case.paths[0]).n_channels
    except UnetMedError as exc:
        return [replace(case, problem=str(exc))]
    if count == 1:
        return [case]
    return [replace(case, id=f"{case.id}_frame{n:04d}", channel=n) for n in range(count)]
