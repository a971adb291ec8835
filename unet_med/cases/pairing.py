"""Two folders, one of scans and one of label maps: which belongs to which."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unet_med.cases.case import DatasetInfo, LabeledCase, LabeledCaseList, UnpairedCase
from unet_med.cases.filenames import (
    IMAGE_PATTERNS,
    LABEL_PATTERNS,
    FilenamePattern,
    close_matches,
    is_label_name,
    patients_of,
    split_channel_number,
)
from unet_med.cases.find import find_cases
from unet_med.cases.layouts import FolderLayout, possible_layouts
from unet_med.cases.walk import find_files
from unet_med.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from unet_med.cases.case import Case
    from unet_med.cases.walk import FoundFile

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class _Rule:
    """One way to put scans and label maps together, and how far it gets."""

    layout: FolderLayout
    image: FilenamePattern
    label: FilenamePattern

    def text(self) -> str:
        same = self.image is IMAGE_PATTERNS[0]
        by = "its label" if same else f"its id is {self.image.text}, its label"
        if self.label is LABEL_PATTERNS[0]:
            has = "has the same name" if same else "is named by it"
        else:
            has = f"is found by {self.label.text}"
        return f"{self.layout.text}; {by} {has}"


def pair_folders(images: Path, labels: Path, *, info: DatasetInfo | None = None) -> LabeledCaseList:
    """Find cases among scans and label maps; both may lie in one folder.

    The ways to group scans (`possible_layouts`) and to read names (`filenames`) are tried in a
    fixed order; the first of those that pair most files is taken, for all files.

    Args:
        images: Folder of scans.
        labels: Folder of label maps; may be the same folder, or lie in the other.
        info: What is known of channels and labels; its channels are the order of ``_0000``….

    Raises:
        InputError: A folder is missing or empty, or nothing fits together.
    """
    image_files, label_files = _separate(_files(images), _files(labels), same=images == labels)
    if not label_files or not image_files:
        what = "label map" if not label_files else "scan"
        msg = (
            f"{images} holds no {what}: name the label maps like the scans in a folder of their "
            "own, or with the ending _seg, _label or _mask"
        )
        raise InputError(msg)
    rule = _best_rule(image_files, label_files)
    known = info or DatasetInfo()
    if rule.layout.channel_folders:
        _refuse_other_names(known.channels, rule.layout.channel_names)
    names = known.channels if len(known.channels) == len(rule.layout.channel_names) else ()
    names = names or rule.layout.channel_names
    found = find_cases(
        [images],
        n_channels=len(names),
        output=None,
        channel_names=names,
        exclude=[file.path for file in label_files],
    )
    stated = known.channels or (() if len(names) == 1 else names)
    return _joined(found.cases, label_files, rule, info=replace(known, channels=stated))


def _files(folder: Path) -> list[FoundFile]:
    if folder.is_file():
        msg = f"{folder} is a file; name a folder, or a list with --datalist"
        raise InputError(msg)
    found, failed = find_files(str(folder))
    if failed:
        raise InputError("; ".join(fault.why for fault in failed[:_SHOWN]))
    return found


def _separate(
    images: list[FoundFile], labels: list[FoundFile], *, same: bool
) -> tuple[list[FoundFile], list[FoundFile]]:
    """Take label maps out of the scans, or the reverse, when folders overlap."""
    if same:
        marked = [is_label_name(file.id) for file in images]
        pairs = list(zip(images, marked, strict=True))
        return [file for file, label in pairs if not label], [f for f, label in pairs if label]
    image_paths = {file.path.absolute() for file in images}
    label_paths = {file.path.absolute() for file in labels}
    if label_paths <= image_paths:
        return [file for file in images if file.path.absolute() not in label_paths], labels
    return images, [file for file in labels if file.path.absolute() not in image_paths]


def _best_rule(images: Sequence[FoundFile], labels: Sequence[FoundFile]) -> _Rule:
    label_keys = [file.key for file in labels]
    best, best_score = None, (0, 0)
    doubtful = False
    for layout in possible_layouts(images):
        for image in IMAGE_PATTERNS:
            read_images = _unique(layout.keys, image)
            for label in LABEL_PATTERNS:
                n_pairs = len(read_images & _unique(label_keys, label))
                score = (n_pairs, -len(layout.keys))
                if n_pairs and score > best_score:
                    best, best_score, doubtful = _Rule(layout, image, label), score, False
                elif best is not None and score == best_score:
                    doubtful |= layout.channel_folders != best.layout.channel_folders
    if best is None:
        raise InputError(_nothing_fits([file.key for file in images], label_keys))
    if doubtful:
        msg = (
            "each sub-folder of the scans could be a case or a channel, label maps have the names "
            "of both: give a --datalist"
        )
        raise InputError(msg)
    return best


def _refuse_other_names(stated: Sequence[str], folders: Sequence[str]) -> None:
    """Refuse channel names of which nobody can say which folder each is."""
    if stated and {name.casefold() for name in stated} != {name.casefold() for name in folders}:
        msg = (
            f"each sub-folder of the scans is a channel ({', '.join(folders)}), but channels are "
            f"named {', '.join(stated)}: name them as the folders, in the order you want"
        )
        raise InputError(msg)


def _unique(keys: Sequence[str], pattern: FilenamePattern) -> set[str]:
    """Return what exactly one of the keys is read as."""
    counts: dict[str, int] = defaultdict(int)
    for key in keys:
        if (name := pattern.match(key)) is not None:
            counts[name] += 1
    return {name for name, count in counts.items() if count == 1}


def _joined(
    cases: Sequence[Case], labels: Sequence[FoundFile], rule: _Rule, *, info: DatasetInfo
) -> LabeledCaseList:
    by_image: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        numbered = split_channel_number(case.key) if rule.layout.numbered else None
        key = numbered[0] if numbered and len(rule.layout.channel_names) == 1 else case.key
        by_image[rule.image.match(key) or key].append(case)
    by_label: dict[str, list[Path]] = defaultdict(list)
    for file in labels:
        by_label[rule.label.match(file.key) or file.key].append(file.path)
    ids = [name for name in sorted(by_image) if _is_pair(by_image[name], by_label.get(name, []))]
    patients, patient_rule = patients_of(ids)
    found = tuple(
        LabeledCase(name, by_image[name][0].paths, by_label[name][0], patient)
        for name, patient in zip(ids, patients, strict=True)
    )
    unpaired = _unpaired(by_image, by_label, set(ids))
    return LabeledCaseList(found, rule.text(), patient_rule, info, unpaired)


def _is_pair(cases: Sequence[Case], labels: Sequence[Path]) -> bool:
    return len(cases) == 1 and cases[0].problem is None and len(labels) == 1


def _unpaired(
    images: Mapping[str, list[Case]], labels: Mapping[str, list[Path]], paired: set[str]
) -> tuple[UnpairedCase, ...]:
    lonely_images = sorted(set(images) - paired)
    lonely_labels = sorted(set(labels) - paired)
    left = []
    for name in lonely_images:
        why = _why_lonely([case.problem for case in images[name]], "scans", labels.get(name, []))
        suggestions = [other for other in lonely_labels if other != name]
        left.append(
            UnpairedCase(name, "image", why or "has no label map", close_matches(name, suggestions))
        )
    for name in lonely_labels:
        if name in images:
            continue  # said above
        why = f"{len(labels[name])} label maps" if len(labels[name]) > 1 else "has no scan"
        suggestions = [other for other in lonely_images if other not in labels]
        left.append(UnpairedCase(name, "label", why, close_matches(name, suggestions)))
    return tuple(left)


def _why_lonely(problems: Sequence[str | None], what: str, labels: Sequence[Path]) -> str | None:
    if problems[0] is not None:
        return problems[0]
    if len(problems) > 1:
        return (
            f"{len(problems)} {what} are read as this case; if their folders are its channels, "
            "all must hold the same names"
        )
    if len(labels) > 1:
        return "has more than one label map: " + ", ".join(path.name for path in labels[:_SHOWN])
    return None


def _nothing_fits(images: Sequence[str], labels: Sequence[str]) -> str:
    suggestions = [(name, found[0]) for name in labels if (found := close_matches(name, images))]
    hint = (
        "; near: " + ", ".join(f"{a} and {b}" for a, b in suggestions[:_SHOWN])
        if suggestions
        else ""
    )
    return (
        f"no label map has the name of a scan: scans {', '.join(images[:_SHOWN])}, label maps "
        f"{', '.join(labels[:_SHOWN])}; name them alike, or give a --datalist{hint}"
    )
