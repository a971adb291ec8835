"""The series in a folder of DICOM files, and which of them is the scan."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from unet_med.errors import InputError
from unet_med.volumes.dicom_names import dicom_files
from unet_med.volumes.dicom_reading import read_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from unet_med.volumes.dicom_headers import SeriesHeader, SliceHeader
    from unet_med.volumes.limits import SeriesRule

_LOCALIZERS = {"LOCALIZER", "SCOUT"}
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Series:
    """A series and its images."""

    header: SeriesHeader
    images: tuple[SliceHeader, ...]

    def __str__(self) -> str:
        """Say what it is without naming anybody: no description, no UID."""
        first = self.images[0]
        size = f"{first.pixels.rows} × {first.pixels.columns}"
        number = "?" if self.header.number < 0 else str(self.header.number)
        spacing = f"{first.spacing_mm[0]:.3g} × {first.spacing_mm[1]:.3g} mm"
        kind = "localizer, " if self.is_localizer else ""
        return (
            f"series {number} ({kind}{self.header.modality}, {len(self.images)} images of {size}, "
            f"{spacing})"
        )

    @property
    def is_localizer(self) -> bool:
        """Whether it says so, or all of its images do."""
        return bool(_LOCALIZERS & set(self.header.image_type))

    @property
    def is_original(self) -> bool:
        """Whether the scanner made it, rather than a computation on another series."""
        return "DERIVED" not in self.header.image_type[:1]


def find_series(path: Path) -> list[Series]:
    """Read the headers of a DICOM file, or of all those in a folder, and group them by series.

    Images that call themselves localizers are a series of their own, even when they have the
    UID of the scan they plan.

    Raises:
        MissingExtraError: pydicom is not installed.
        VolumeError: A file cannot be read: its slice would be missing.
    """
    files = dicom_files(path) if path.is_dir() else [path]
    found: dict[tuple[str, bool], tuple[SeriesHeader, list[SliceHeader]]] = {}
    for file in files:
        read = read_slices(file)
        if read is not None:
            header, images = read
            key = (header.uid, bool(_LOCALIZERS & set(header.image_type)))
            found.setdefault(key, (header, []))[1].extend(images)
    series = [Series(header, tuple(images)) for header, images in found.values()]
    return sorted(series, key=lambda item: (item.header.number, item.header.uid))


def choose_series(found: Sequence[Series], rule: SeriesRule, *, name: str) -> Series:
    """Choose the series that is the scan.

    Asked for by number, UID or pattern, that one. Otherwise the only one of the recipe's
    modality that is no localizer; among several, the only one that the scanner made itself.

    Raises:
        InputError: None or several fit; the text lists them by number.
    """
    if not found:
        msg = f"{name} holds no DICOM series of plain images; check the folder"
        raise InputError(msg)
    fitting = list(found) if rule.wanted is None else [s for s in found if _is_wanted(s, rule)]
    if rule.wanted is None:
        for keep in _preferences(rule):
            fitting = [series for series in fitting if keep(series)] or fitting
        if rule.modality and all(s.header.modality != rule.modality for s in fitting):
            fitting = []
    if len(fitting) == 1:
        return fitting[0]
    shown = "; ".join(str(series) for series in (fitting or found)[:_SHOWN])
    more = len(fitting or found) - _SHOWN
    shown += f"; and {more} more" if more > 0 else ""
    if fitting:
        msg = f"{name} holds several series that could be meant: {shown}; choose with --series N"
    else:
        wanted = f"--series {rule.wanted}" if rule.wanted else f"modality {rule.modality}"
        msg = f"{name} holds no series for {wanted}: {shown}"
    raise InputError(msg)


def _preferences(rule: SeriesRule) -> list[Callable[[Series], bool]]:
    return [
        lambda series: rule.modality in (None, series.header.modality),
        lambda series: not series.is_localizer,
        lambda series: series.is_original,
    ]


def _is_wanted(series: Series, rule: SeriesRule) -> bool:
    wanted = rule.wanted or ""
    if wanted in (series.header.uid, str(series.header.number)):
        return True
    texts = series.header.description.lower().split("\n")
    return not wanted.isdecimal() and any(fnmatchcase(text, wanted.lower()) for text in texts)
