"""Lists of cases in a file: CSV, or JSON as the Medical Segmentation Decathlon has it."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from unet_med.cases.case import DatasetInfo, LabeledCase, LabeledCaseList
from unet_med.cases.dataset_json import (
    parse_dataset_json,
    parse_int,
    parse_text,
    read_json,
    read_text,
)
from unet_med.cases.filenames import BY_LIST, patients_of
from unet_med.cases.walk import case_id
from unet_med.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MAX_ENTRIES = 100_000
_SHOWN = 3
_LONGEST_PATH = 4096
_LABEL_COLUMNS = ("label", "mask", "seg", "segmentation")
_ID_COLUMNS = ("id", "case", "case_id")
_PATIENT_COLUMNS = ("patient", "subject", "patient_id", "subject_id")
_SPLIT_COLUMNS = ("split", "set")
_HELD_OUT = ("validation", "val", "valid")
_NOT_USED = ("test",)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line of a list, checked for types; ``where`` names it in messages."""

    where: str
    images: tuple[str, ...]
    label: str
    id: str = ""
    patient: str = ""
    fold: int | None = None
    held_out: bool = False


def read_datalist(path: Path) -> LabeledCaseList:
    """Read a list of cases.

    CSV: a header with ``label``, ``image`` (or one column a channel that begins with ``image``),
    and if wanted ``id``, ``patient``, ``fold`` and ``split`` (``train``, ``validation``;
    ``test`` is passed over). JSON: ``{"training": [{"image": …, "label": …}], "validation": …}``
    or the bare list; entries may state ``id``, ``patient`` and ``fold``. Relative paths count
    from the list's folder and must not leave it.

    Args:
        path: The list; ``.csv`` or ``.tsv``, else JSON.

    Raises:
        InputError: The list cannot be used; one line names the entry.
    """
    if path.suffix.lower() in {".csv", ".tsv"}:
        entries, info = list(_csv_entries(path)), _csv_info(path)
    else:
        content = read_json(path)
        entries = list(_json_entries(content, path))
        info = (
            parse_dataset_json(content, path.name) if isinstance(content, dict) else DatasetInfo()
        )
    if not entries:
        msg = f"{path} lists no training case"
        raise InputError(msg)
    if len(entries) > MAX_ENTRIES:
        msg = f"{path} lists {len(entries)} cases; at most {MAX_ENTRIES} are read"
        raise InputError(msg)
    return _found(entries, path, info)


def _found(entries: Sequence[_Entry], path: Path, info: DatasetInfo) -> LabeledCaseList:
    counts = {len(entry.images) for entry in entries}
    if len(counts) > 1:
        msg = f"{path}: entries have {' and '.join(map(str, sorted(counts)))} images; give as many"
        raise InputError(msg)
    cases = [_labeled_case(entry, path.parent) for entry in entries]
    _refuse_missing(cases, path)
    _refuse_doubles(cases, entries)
    guessed, rule = patients_of([case.id for case in cases])
    if any(case.patient for case in cases):
        rule = BY_LIST
    named = [replace(c, patient=c.patient or g) for c, g in zip(cases, guessed, strict=True)]
    text = f"as listed in {path.name}"
    return LabeledCaseList(tuple(sorted(named, key=lambda case: case.id)), text, rule, info)


def _labeled_case(entry: _Entry, folder: Path) -> LabeledCase:
    label = _inside(entry.label, folder, entry.where)
    images = tuple(_inside(image, folder, entry.where) for image in entry.images)
    name = entry.id or case_id(label.name)
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts or not name.isprintable():
        msg = f"{entry.where}: the id {name!r:.60} is no name for a file: no .., no leading /"
        raise InputError(msg)
    return LabeledCase(name, images, label, entry.patient, entry.fold, entry.held_out)


def _inside(text: str, folder: Path, where: str) -> Path:
    """Resolve a path of the list; a relative one must stay below the list's folder."""
    if len(text) > _LONGEST_PATH or not text.isprintable():
        msg = f"{where}: {text!r:.60} is no path"
        raise InputError(msg)
    depth = 0
    for part in PurePath(text).parts:
        depth += -1 if part == ".." else 1
        if depth < 0 or (PurePath(text).is_absolute() and part == ".."):
            msg = f"{where}: {text!r:.80} leaves the list's folder; write the whole path instead"
            raise InputError(msg)
    return folder / text


def _refuse_missing(cases: Sequence[LabeledCase], path: Path) -> None:
    missing = [file for case in cases for file in (*case.images, case.label) if not _exists(file)]
    if missing:
        shown = ", ".join(str(file)[-200:] for file in missing[:_SHOWN])
        msg = f"{path}: {len(missing)} files of the list do not exist: {shown}"
        raise InputError(msg)


def _exists(path: Path) -> bool:
    try:
        return path.exists()  # a folder may be a DICOM series
    except OSError:  # a name that no file system can hold
        return False


def _refuse_doubles(cases: Sequence[LabeledCase], entries: Sequence[_Entry]) -> None:
    """Refuse two entries with one id, or with one label map: a case would count twice."""
    seen: dict[object, str] = {}
    for case, entry in zip(cases, entries, strict=True):
        for key in (("id", case.id), ("label", case.label.resolve()), ("images", case.images)):
            if key in seen:
                msg = (
                    f"{entry.where} and {seen[key]} are the same case ({key[0]} {key[1]}): "
                    "remove one, or give each an id of its own"
                )
                raise InputError(msg)
            seen[key] = entry.where


def _csv_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    text = read_text(path)
    header = text.partition("\n")[0]
    delimiter = "\t" if "\t" in header else ";" if ";" in header else ","
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        columns = [(name or "").strip().lower() for name in reader.fieldnames or []]
        rows = [
            {str(k or "").strip().lower(): v.strip() for k, v in row.items() if isinstance(v, str)}
            for row in reader
        ]
    except csv.Error as exc:
        msg = f"{path} is no valid CSV: {exc}"
        raise InputError(msg) from exc
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        msg = f"{path} has the column {twice[0]} twice: give each a name of its own, as image_t1"
        raise InputError(msg)
    return columns, rows


def _image_columns(columns: Sequence[str], path: Path) -> list[str]:
    found = [name for name in columns if name.startswith("image")]
    if not found or not any(name in _LABEL_COLUMNS for name in columns):
        msg = f"{path} needs the columns image and label in its first line, got {columns[:8]}"
        raise InputError(msg)
    return found


def _csv_entries(path: Path) -> Iterator[_Entry]:
    columns, rows = _csv_rows(path)
    images = _image_columns(columns, path)
    for number, row in enumerate(rows, start=2):
        where = f"{path.name} line {number}"
        split = _first(row, _SPLIT_COLUMNS).lower()
        if split in _NOT_USED or not any(row.values()):
            continue
        if split not in {"", "train", "training", *_HELD_OUT}:
            msg = f"{where}: split must be train, validation or test, got {split!r:.40}"
            raise InputError(msg)
        fold = row.get("fold", "")
        yield _Entry(
            where,
            tuple(parse_text(row.get(name), f"{where}: {name}") for name in images),
            parse_text(_first(row, _LABEL_COLUMNS), f"{where}: label"),
            _first(row, _ID_COLUMNS),
            _first(row, _PATIENT_COLUMNS),
            _fold(fold, where) if fold else None,
            split in _HELD_OUT,
        )


def _csv_info(path: Path) -> DatasetInfo:
    """Name channels by what follows ``image`` in the column names, as in ``image_t1``."""
    columns = _image_columns(_csv_rows(path)[0], path)
    names = [name.removeprefix("image").strip(" _:-") for name in columns]
    if len(columns) > 1 and all(name and not name.isdecimal() for name in names):
        return DatasetInfo(channels=tuple(names))
    return DatasetInfo()


def _json_entries(content: object, path: Path) -> Iterator[_Entry]:
    parts = {"training": content} if isinstance(content, list) else content
    if not isinstance(parts, dict) or not isinstance(parts.get("training"), list):
        msg = f'{path} must hold {{"training": [{{"image": …, "label": …}}, …]}}'
        raise InputError(msg)
    for part in ("training", "validation"):
        entries = parts.get(part) or []
        if not isinstance(entries, list):
            msg = f"{path}: {part} must be a list, got {type(entries).__name__}"
            raise InputError(msg)
        for number, entry in enumerate(entries, start=1):
            where = f"{path.name} {part} entry {number}"
            yield _json_entry(entry, where, held_out=part == "validation")


def _json_entry(entry: object, where: str, *, held_out: bool) -> _Entry:
    if not isinstance(entry, dict):
        msg = f"{where} must be an object with image and label, got {entry!r:.60}"
        raise InputError(msg)
    image = entry.get("image")
    images = image if isinstance(image, list) and image else [image]
    fold = entry.get("fold")
    return _Entry(
        where,
        tuple(parse_text(part, f"{where}: image") for part in images),
        parse_text(entry.get("label"), f"{where}: label"),
        _first(entry, _ID_COLUMNS),
        _first(entry, _PATIENT_COLUMNS),
        None if fold is None else _fold(fold, where),
        held_out,
    )


def _fold(value: object, where: str) -> int:
    fold = parse_int(value, f"{where}: fold")
    if fold < 0:
        msg = f"{where}: fold must be 0 or more, got {fold}"
        raise InputError(msg)
    return fold


def _first(row: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return the first of the columns that holds something, as text."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str | int) and str(value).strip():
            return str(value).strip()
    return ""
