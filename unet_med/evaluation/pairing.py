"""Pair predictions with references: the same name in the same relative folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from unet_med.cases import case_id, find_masks
from unet_med.cases.filenames import close_matches
from unet_med.errors import InputError
from unet_med.evaluation.scores import ExtraPrediction, FailedCase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

T = TypeVar("T")

FIRST_CHANNEL_SUFFIX = "_0000"
"""Ends the name of a case's first channel in nnU-Net's habit, and of masks named by that file."""

_MOST_LISTED = 5


@dataclass(frozen=True, slots=True)
class Pair:
    """Name one case to score.

    Attributes:
        case: Relative folder and name without ending, with forward slashes.
        prediction: Mask file; None when it is missing.
        reference: Mask file.
    """

    case: str
    prediction: Path | None
    reference: Path


@dataclass(frozen=True, slots=True)
class Pairing:
    """List the cases of a cohort.

    Attributes:
        pairs: One per reference, by case id.
        extra: Predictions without a reference.
        failed: Cases whose file is not unique.
    """

    pairs: tuple[Pair, ...]
    extra: tuple[ExtraPrediction, ...] = ()
    failed: tuple[FailedCase, ...] = ()


def pair_cases(predictions: Path, references: Path) -> Pairing:
    """Pair prediction and reference files by case id.

    Two folders are paired name by name, sub-folders included. A single file on one side chooses
    that case alone; two files are a pair whatever their names, under the reference's id. See
    `match_reference_names` for names that end in ``_0000``.

    Args:
        predictions: Folder or file.
        references: Folder or file.

    Raises:
        InputError: A path does not exist, a folder holds no mask, or nothing fits together.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "a.nii.gz").touch()
        ...     [pair.case for pair in pair_cases(Path(folder), Path(folder)).pairs]
        ['a']
    """
    if predictions.is_file() and references.is_file():
        return Pairing((Pair(case_id(references.name), predictions, references),))
    true = find_masks(references)
    there = {case: _existing(paths) for case, paths in find_masks(predictions).items()}
    predicted = match_reference_names({case: paths for case, paths in there.items() if paths}, true)
    both = predicted.keys() & true.keys()
    if not both:
        raise InputError(_nothing_fits(predicted, true))
    if predictions.is_file() or references.is_file():
        predicted, true = _only(predicted, both), _only(true, both)
    return _paired(predicted, true)


def match_reference_names(found: Mapping[str, T], references: Iterable[str]) -> dict[str, T]:
    """Call cases as their references are called.

    ``case_0000`` belongs to the reference ``case`` where there is none of its whole name and no
    other case of that name.

    Args:
        found: Scans or predictions by case id.
        references: Case ids.

    Example:
        >>> match_reference_names({"a_0000": 1, "b_0000": 2, "b": 3}, ["a", "b"])
        {'a': 1, 'b_0000': 2, 'b': 3}
    """
    names = set(references)

    def name_of(case: str) -> str:
        short = case.removesuffix(FIRST_CHANNEL_SUFFIX)
        return short if case not in names and short in names and short not in found else case

    return {name_of(case): what for case, what in found.items()}


def _paired(predicted: Mapping[str, list[Path]], true: Mapping[str, list[Path]]) -> Pairing:
    missing = [case for case in true if case not in predicted]
    pairs, failed = [], []
    for case, references in sorted(true.items()):
        candidates = predicted.get(case, [])
        if len(references) > 1 or len(candidates) > 1:
            failed.append(FailedCase(case, _not_unique(candidates, references)))
        else:
            pairs.append(Pair(case, candidates[0] if candidates else None, references[0]))
    extra = tuple(
        ExtraPrediction(case, close_matches(case, missing))
        for case in sorted(predicted)
        if case not in true
    )
    return Pairing(tuple(pairs), extra, tuple(failed))


def _existing(paths: Iterable[Path]) -> list[Path]:
    """Leave out links to nothing: such a prediction is missing."""
    return [path for path in paths if path.exists()]


def _only(masks: Mapping[str, list[Path]], ids: set[str]) -> dict[str, list[Path]]:
    return {case: paths for case, paths in masks.items() if case in ids}


def _not_unique(predictions: list[Path], references: list[Path]) -> str:
    role, paths = (
        ("references", references) if len(references) > 1 else ("predictions", predictions)
    )
    names = ", ".join(path.name for path in paths)
    return f"{len(paths)} {role} have this name: {names}; keep one of them"


def _nothing_fits(predicted: Iterable[str], true: Iterable[str]) -> str:
    wanted, offered = sorted(true), sorted(predicted)
    near = [(case, found[0]) for case in wanted if (found := close_matches(case, offered))]
    hint = ", ".join(f"{found} for {case}" for case, found in near[:_MOST_LISTED])
    return (
        f"no prediction has the name of a reference: predictions {_few(offered)}, references "
        f"{_few(wanted)}; name them alike" + (f" (near: {hint})" if hint else "")
    )


def _few(ids: list[str]) -> str:
    dots = ", …" if len(ids) > _MOST_LISTED else ""
    return "{" + ", ".join(ids[:_MOST_LISTED]) + dots + "}"
