"""The one function that finds labeled cases, however a data set lies on the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unet_med.cases.bids import find_bids, is_bids
from unet_med.cases.case import DatasetInfo, LabeledCaseList
from unet_med.cases.datalist import read_datalist
from unet_med.cases.dataset_json import parse_dataset_json, read_json
from unet_med.cases.filenames import split_channel_number
from unet_med.cases.pairing import pair_folders
from unet_med.cases.walk import find_files
from unet_med.errors import InputError

if TYPE_CHECKING:
    from os import PathLike

DATASET_JSON = "dataset.json"


def find_training_cases(
    images: str | PathLike[str] | None = None,
    labels: str | PathLike[str] | None = None,
    *,
    list_file: str | PathLike[str] | None = None,
    info: DatasetInfo | None = None,
) -> LabeledCaseList:
    """Find the labeled cases of a data set.

    In this order: a list; an nnU-Net or Decathlon folder (``imagesTr``, ``labelsTr``); a BIDS
    folder; two folders, or one that holds both scans and label maps.

    Args:
        images: Folder of scans, or of the whole data set.
        labels: Folder of label maps; None = in the same folder.
        list_file: CSV or JSON list of cases instead.
        info: What the user states of channels and labels; goes before what the data say.

    Returns:
        The cases, sorted by id, and the rules used.

    Raises:
        InputError: Nothing is found, or what is found cannot be used.

    Example:
        >>> from unet_med.bundle import demo_data
        >>> found = find_training_cases(demo_data() / "images", demo_data() / "labels")
        >>> [case.id for case in found.cases], found.rule
        (['colin27'], 'one file per case; its label has the same name')
    """
    stated = info or DatasetInfo()
    if list_file is not None:
        found = read_datalist(Path(list_file))
    elif images is None:
        msg = "name a folder of scans (images) and one of label maps (labels), or a list"
        raise InputError(msg)
    else:
        found = _in_folders(Path(images), None if labels is None else Path(labels), stated)
    return replace(found, info=_merged(stated, found))


def _in_folders(images: Path, labels: Path | None, stated: DatasetInfo) -> LabeledCaseList:
    for folder in (images, labels or images):
        if not folder.exists():
            msg = f"{folder} does not exist; name a folder"
            raise InputError(msg)
    if labels is None and (images / "imagesTr").is_dir():
        return _find_nnunet(images, stated)
    if is_bids(images) and (labels is None or is_bids(labels) or _has_bids(labels)):
        return find_bids(images, labels)
    return pair_folders(images, labels or images, info=_info_beside(images, stated))


def _has_bids(folder: Path) -> bool:
    return any(True for _ in folder.glob("*/sub-*"))


def _find_nnunet(folder: Path, stated: DatasetInfo) -> LabeledCaseList:
    """Read ``imagesTr`` and ``labelsTr``, and ``dataset.json`` where it is there."""
    info = DatasetInfo()
    if (folder / DATASET_JSON).is_file():
        content = read_json(folder / DATASET_JSON)
        if isinstance(content, dict):
            info = parse_dataset_json(content, DATASET_JSON)
            # nnU-Net's first form lists names without the channel numbers that files have.
            files, _ = find_files(str(folder / "imagesTr"))
            numbered = any(split_channel_number(file.id) for file in files)
            if isinstance(content.get("training"), list) and not numbered:
                return read_datalist(folder / DATASET_JSON)
    channels = stated.channels or info.channels
    paired = replace(info, channels=channels)
    found = pair_folders(folder / "imagesTr", folder / "labelsTr", info=paired)
    return replace(found, rule=f"imagesTr and labelsTr; {found.rule}", info=paired)


def _info_beside(images: Path, stated: DatasetInfo) -> DatasetInfo:
    """Take names from a ``dataset.json`` beside ``imagesTr`` when that folder was named."""
    beside = images.parent / DATASET_JSON
    if images.name != "imagesTr" or not beside.is_file():
        return stated
    content = read_json(beside)
    named = (
        parse_dataset_json(content, DATASET_JSON) if isinstance(content, dict) else DatasetInfo()
    )
    return replace(named, channels=stated.channels or named.channels)


def _merged(stated: DatasetInfo, found: LabeledCaseList) -> DatasetInfo:
    """Put what the user stated before what the data set states."""
    own = found.info
    return DatasetInfo(
        channels=stated.channels or own.channels,
        modalities=stated.modalities or own.modalities,
        labels=stated.labels or ({} if stated.regions else own.labels),
        regions=stated.regions or ({} if stated.labels else own.regions),
        ignore=own.ignore if stated.ignore is None else stated.ignore,
    )
