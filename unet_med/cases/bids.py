"""BIDS: scans below ``sub-*``, label maps below ``derivatives``."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from unet_med.cases.case import DatasetInfo, LabeledCase, LabeledCaseList, UnpairedCase
from unet_med.cases.filenames import close_matches, patients_of
from unet_med.cases.walk import case_id, find_files
from unet_med.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LABEL_SUFFIXES = ("dseg", "mask")
_NOT_IDENTITY = ("space", "desc", "label", "atlas", "res", "den", "from", "seg")
"""Entities that say how a derivative was made, not which scan it belongs to."""

_NAME = re.compile(r"sub-[A-Za-z0-9]+(_[A-Za-z0-9]+-[A-Za-z0-9]+)*_[A-Za-z0-9]+")


def is_bids(folder: Path) -> bool:
    """Whether a folder looks like a BIDS data set: it holds ``sub-…`` folders."""
    return folder.is_dir() and any(child.is_dir() for child in folder.glob("sub-*"))


def find_bids(images: Path, labels: Path | None) -> LabeledCaseList:
    """Pair scans with the ``_dseg`` (or else ``_mask``) files of the derivatives.

    A label map belongs to the scans of the same subject and session, and of the same ``acq``,
    ``run`` and other entities where both state them. The channels are the suffixes (``T1w``,
    ``FLAIR``, …) that every labeled session has.

    Args:
        images: The BIDS folder.
        labels: Folder of the label maps; None = ``derivatives`` in it.

    Raises:
        InputError: There is no label map, no channel that all sessions share, or nothing fits.
    """
    below = labels or images / "derivatives"
    if not below.is_dir():
        msg = f"{images} has no derivatives folder; name the label maps with --labels"
        raise InputError(msg)
    label_files = {path: parsed for path in _paths(below) if (parsed := _parse(path))}
    wanted = _label_suffix([suffix for _, suffix in label_files.values()], below)
    chosen = {path: entities for path, (entities, s) in label_files.items() if s == wanted}
    # Scans beside derived label maps are derived, too.
    made = [f for f in (images / "derivatives", below) if not images.is_relative_to(f)]
    scans: dict[tuple[str, str], list[tuple[Path, dict[str, str], str]]] = defaultdict(list)
    for path in _paths(images):
        parsed = _parse(path)
        if parsed and parsed[1] not in LABEL_SUFFIXES and not any(map(path.is_relative_to, made)):
            scans[_session(parsed[0])].append((path, *parsed))
    return _matched(chosen, scans, rule=f"BIDS: scans by sub and ses, label maps _{wanted}")


def _matched(
    labels: Mapping[Path, dict[str, str]],
    scans: Mapping[tuple[str, str], Sequence[tuple[Path, dict[str, str], str]]],
    *,
    rule: str,
) -> LabeledCaseList:
    candidates = {path: _fitting(scans.get(_session(e), ()), e) for path, e in labels.items()}
    found = [set(by_suffix) for by_suffix in candidates.values() if by_suffix]
    channels = tuple(sorted(set.intersection(*found))) if found else ()
    if not channels:
        msg = "no scan fits a label map: BIDS names must share sub-… and ses-…, and a suffix"
        raise InputError(msg)
    cases: list[LabeledCase] = []
    unpaired: list[UnpairedCase] = []
    all_ids = ["_".join(key).strip("_") for key in scans]
    for path, by_suffix in sorted(candidates.items()):
        name = _case_id(path, labels)
        several = [s for s in channels if len(by_suffix.get(s, ())) > 1]
        if not by_suffix:
            unpaired.append(
                UnpairedCase(name, "label", "has no scan", close_matches(name, all_ids))
            )
        elif several:
            why = f"has {len(by_suffix[several[0]])} scans {several[0]}; give a --datalist"
            unpaired.append(UnpairedCase(name, "label", why))
        else:
            cases.append(LabeledCase(name, tuple(by_suffix[s][0] for s in channels), path))
    taken = {_session(entities) for entities in labels.values()}
    unpaired += [
        UnpairedCase("_".join(key).strip("_"), "image", "has no label map")
        for key in sorted(set(scans) - taken)
    ]
    patients, text = patients_of([case.id for case in cases])
    named = tuple(
        LabeledCase(case.id, case.images, case.label, patient)
        for case, patient in zip(cases, patients, strict=True)
    )
    text_rule = f"{rule}; channels {', '.join(channels)}"
    return LabeledCaseList(named, text_rule, text, DatasetInfo(channels=channels), tuple(unpaired))


def _case_id(path: Path, labels: Mapping[Path, dict[str, str]]) -> str:
    """Name a case by subject and session; by more where a session has several label maps."""
    session = _session(labels[path])
    alike = [other for other in labels if _session(labels[other]) == session]
    if len(alike) == 1:
        return "_".join(part for part in session if part)
    return case_id(path.name)


def _fitting(
    scans: Sequence[tuple[Path, dict[str, str], str]], wanted: Mapping[str, str]
) -> dict[str, list[Path]]:
    """Return by suffix the scans whose entities do not contradict the label map's."""
    fitting: dict[str, list[Path]] = defaultdict(list)
    for path, entities, suffix in scans:
        shared = entities.keys() & wanted.keys() - set(_NOT_IDENTITY)
        if all(entities[key] == wanted[key] for key in shared):
            fitting[suffix].append(path)
    return dict(fitting)


def _paths(folder: Path) -> list[Path]:
    return [file.path for file in find_files(str(folder))[0]]


def _session(entities: Mapping[str, str]) -> tuple[str, str]:
    session = entities.get("ses", "")
    return f"sub-{entities['sub']}", f"ses-{session}" if session else ""


def _parse(path: Path) -> tuple[dict[str, str], str] | None:
    """Split a BIDS name into its entities and its suffix; None for other names."""
    name = case_id(path.name)
    if not _NAME.fullmatch(name):
        return None
    *parts, suffix = name.split("_")
    return dict(part.split("-", 1) for part in parts), suffix


def _label_suffix(suffixes: Sequence[str], folder: Path) -> str:
    for suffix in LABEL_SUFFIXES:
        if suffix in suffixes:
            return suffix
    msg = f"{folder} holds no BIDS label map: none of its volumes ends in _dseg or _mask"
    raise InputError(msg)
