"""The one function that finds labeled cases, however a data set lies on the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unet_med.dataset.bids import find_bids, is_bids
from unet_med.dataset.case import FoundCases, LabeledCase, Naming
from unet_med.dataset.folders import pair_folders
from unet_med.dataset.lists import is_numbered, read_list
from unet_med.dataset.reading import read_json
from unet_med.dataset.statement import naming_of
from unet_med.errors import InputError

if TYPE_CHECKING:
    from os import PathLike

DATASET_JSON = "dataset.json"


def find_training_cases(
    images: str | PathLike[str] | None = None,
    labels: str | PathLike[str] | None = None,
    *,
    list_file: str | PathLike[str] | None = None,
    naming: Naming | None = None,
) -> FoundCases:
    """Find the labeled cases of a data set.

    In this order: a list; an nnU-Net or Decathlon folder (``imagesTr``, ``labelsTr``); a BIDS
    folder; two folders, or one that holds both scans and label maps.

    Args:
        images: Folder of scans, or of the whole data set.
        labels: Folder of label maps; None = in the same folder.
        list_file: CSV or JSON list of cases instead.
        naming: What the user states of channels and labels; goes before what the data say.

    Returns:
        The cases, sorted by id, and the rules used.

    Raises:
        InputError: Nothing is found, or what is found cannot be used.
    """
    stated = naming or Naming()
    if list_file is not None:
        found = read_list(Path(list_file))
    elif images is None:
        msg = "name a folder of scans (images) and one of label maps (labels), or a list"
        raise InputError(msg)
    else:
        found = _in_folders(Path(images), None if labels is None else Path(labels), stated)
    return replace(found, naming=_merged(stated, found))


def _in_folders(images: Path, labels: Path | None, stated: Naming) -> FoundCases:
    for folder in (images, labels or images):
        if not folder.exists():
            msg = f"{folder} does not exist; name a folder"
            raise InputError(msg)
    if labels is None and (images / "imagesTr").is_dir():
        return _raw_data_set(images, stated)
    if is_bids(images) and (labels is None or is_bids(labels) or _has_bids(labels)):
        return find_bids(images, labels)
    return pair_folders(images, labels or images, naming=_stated_beside(images, stated))


def _has_bids(folder: Path) -> bool:
    return any(True for _ in folder.glob("*/sub-*"))


def _raw_data_set(folder: Path, stated: Naming) -> FoundCases:
    """Read ``imagesTr`` and ``labelsTr``, and ``dataset.json`` where it is there."""
    naming = Naming()
    if (folder / DATASET_JSON).is_file():
        content = read_json(folder / DATASET_JSON)
        if isinstance(content, dict):
            naming = naming_of(content, DATASET_JSON)
            # nnU-Net's first form lists names without the channel numbers that files have.
            numbered = any(is_numbered(path) for path in (folder / "imagesTr").iterdir())
            if isinstance(content.get("training"), list) and not numbered:
                return read_list(folder / DATASET_JSON)
    channels = stated.channels or naming.channels
    paired = replace(naming, channels=channels)
    found = pair_folders(folder / "imagesTr", folder / "labelsTr", naming=paired)
    return replace(found, rule=f"imagesTr and labelsTr; {found.rule}", naming=paired)


def _stated_beside(images: Path, stated: Naming) -> Naming:
    """Take names from a ``dataset.json`` beside ``imagesTr`` when that folder was named."""
    beside = images.parent / DATASET_JSON
    if images.name != "imagesTr" or not beside.is_file():
        return stated
    content = read_json(beside)
    named = naming_of(content, DATASET_JSON) if isinstance(content, dict) else Naming()
    return replace(named, channels=stated.channels or named.channels)


def _merged(stated: Naming, found: FoundCases) -> Naming:
    """Put what the user stated before what the data set states."""
    own = found.naming
    return Naming(
        channels=stated.channels or own.channels,
        modalities=stated.modalities or own.modalities,
        labels=stated.labels or ({} if stated.regions else own.labels),
        regions=stated.regions or ({} if stated.labels else own.regions),
        ignore=own.ignore if stated.ignore is None else stated.ignore,
    )


__all__ = ["DATASET_JSON", "FoundCases", "LabeledCase", "find_training_cases"]
