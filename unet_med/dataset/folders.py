"""Two folders, one of scans and one of label maps: which belongs to which."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unet_med.cases import find_cases
from unet_med.cases.near import nearest_ids
from unet_med.cases.walk import find_files, stem_of
from unet_med.dataset.case import FoundCases, LabeledCase, Naming, Unpaired
from unet_med.dataset.layouts import Layout, key_of, layouts_of
from unet_med.dataset.names import IMAGE_READERS, LABEL_READERS, Reader, channel_of, marks_label
from unet_med.dataset.patients import patients_of
from unet_med.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from unet_med.cases import Case
    from unet_med.cases.walk import FoundFile

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class _Rule:
    """One way to put scans and label maps together, and how far it gets."""

    layout: Layout
    image: Reader
    label: Reader

    def text(self) -> str:
        same = self.image is IMAGE_READERS[0]
        by = "its label" if same else f"its id is {self.image.text}, its label"
        if self.label is LABEL_READERS[0]:
            has = "has the same name" if same else "is named by it"
        else:
            has = f"is found by {self.label.text}"
        return f"{self.layout.text}; {by} {has}"


def pair_folders(images: Path, labels: Path, *, naming: Naming | None = None) -> FoundCases:
    """Find cases among scans and label maps; both may lie in one folder.

    The ways to group scans (`layouts_of`) and to read names (`names`) are tried in a fixed
    order; the first of those that pair most files is taken, for all files.

    Args:
        images: Folder of scans.
        labels: Folder of label maps; may be the same folder, or lie in the other.
        naming: What is known of channels and labels; its channels are the order of ``_0000``….

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
    known = naming or Naming()
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
    return _joined(found.cases, label_files, rule, naming=replace(known, channels=stated))


def _files(folder: Path) -> list[FoundFile]:
    if folder.is_file():
        msg = f"{folder} is a file; name a folder, or a list with --list"
        raise InputError(msg)
    found, nothing = find_files(str(folder))
    if nothing:
        raise InputError("; ".join(fault.why for fault in nothing[:_SHOWN]))
    return found


def _separate(
    images: list[FoundFile], labels: list[FoundFile], *, same: bool
) -> tuple[list[FoundFile], list[FoundFile]]:
    """Take label maps out of the scans, or the reverse, when folders overlap."""
    if same:
        marked = [marks_label(stem_of(file.path) or "") for file in images]
        pairs = list(zip(images, marked, strict=True))
        return [file for file, label in pairs if not label], [f for f, label in pairs if label]
    image_paths = {file.path.absolute() for file in images}
    label_paths = {file.path.absolute() for file in labels}
    if label_paths <= image_paths:
        return [file for file in images if file.path.absolute() not in label_paths], labels
    return images, [file for file in labels if file.path.absolute() not in image_paths]


def _best_rule(images: Sequence[FoundFile], labels: Sequence[FoundFile]) -> _Rule:
    label_keys = [key_of(file) for file in labels]
    best, best_score = None, (0, 0)
    doubtful = False
    for layout in layouts_of(images):
        for image in IMAGE_READERS:
            read_images = _unique(layout.keys, image)
            for label in LABEL_READERS:
                n_pairs = len(read_images & _unique(label_keys, label))
                score = (n_pairs, -len(layout.keys))
                if n_pairs and score > best_score:
                    best, best_score, doubtful = _Rule(layout, image, label), score, False
                elif best is not None and score == best_score:
                    doubtful |= layout.channel_folders != best.layout.channel_folders
    if best is None:
        raise InputError(_nothing_fits([key_of(file) for file in images], label_keys))
    if doubtful:
        msg = (
            "each sub-folder of the scans could be a case or a channel, label maps have the names "
            "of both: give a --list"
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


def _unique(keys: Sequence[str], reader: Reader) -> set[str]:
    """Return what exactly one of the keys is read as."""
    counts: dict[str, int] = defaultdict(int)
    for key in keys:
        if (name := reader.read(key)) is not None:
            counts[name] += 1
    return {name for name, count in counts.items() if count == 1}


def _joined(
    cases: Sequence[Case], labels: Sequence[FoundFile], rule: _Rule, *, naming: Naming
) -> FoundCases:
    by_image: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        numbered = channel_of(case.key) if rule.layout.numbered else None
        key = numbered[0] if numbered and len(rule.layout.channel_names) == 1 else case.key
        by_image[rule.image.read(key) or key].append(case)
    by_label: dict[str, list[Path]] = defaultdict(list)
    for file in labels:
        by_label[rule.label.read(key_of(file)) or key_of(file)].append(file.path)
    ids = [name for name in sorted(by_image) if _is_pair(by_image[name], by_label.get(name, []))]
    patients, patient_rule = patients_of(ids)
    found = tuple(
        LabeledCase(name, by_image[name][0].paths, by_label[name][0], patient)
        for name, patient in zip(ids, patients, strict=True)
    )
    unpaired = _unpaired(by_image, by_label, set(ids))
    return FoundCases(found, rule.text(), patient_rule, naming, unpaired)


def _is_pair(cases: Sequence[Case], labels: Sequence[Path]) -> bool:
    return len(cases) == 1 and cases[0].problem is None and len(labels) == 1


def _unpaired(
    images: Mapping[str, list[Case]], labels: Mapping[str, list[Path]], paired: set[str]
) -> tuple[Unpaired, ...]:
    lonely_images = sorted(set(images) - paired)
    lonely_labels = sorted(set(labels) - paired)
    left = []
    for name in lonely_images:
        why = _why_lonely([case.problem for case in images[name]], "scans", labels.get(name, []))
        near = [other for other in lonely_labels if other != name]
        left.append(Unpaired(name, "image", why or "has no label map", nearest_ids(name, near)))
    for name in lonely_labels:
        if name in images:
            continue  # said above
        why = f"{len(labels[name])} label maps" if len(labels[name]) > 1 else "has no scan"
        near = [other for other in lonely_images if other not in labels]
        left.append(Unpaired(name, "label", why, nearest_ids(name, near)))
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
    near = [(name, found[0]) for name in labels if (found := nearest_ids(name, images))]
    hint = "; near: " + ", ".join(f"{a} and {b}" for a, b in near[:_SHOWN]) if near else ""
    return (
        f"no label map has the name of a scan: scans {', '.join(images[:_SHOWN])}, label maps "
        f"{', '.join(labels[:_SHOWN])}; name them alike, or give a --list{hint}"
    )
