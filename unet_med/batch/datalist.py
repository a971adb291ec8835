"""Cases as MONAI's data lists: dictionaries that a bundle's dataset is made of."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from unet_med._parsing import parse_bool
from unet_med.batch.destination import Destination, check_destination
from unet_med.cases import find_masks
from unet_med.cases.find import find_cases
from unet_med.errors import InputError, OutputError, UnetMedError
from unet_med.evaluation.pairing import match_reference_names
from unet_med.geometry import grid_difference
from unet_med.volumes import ReadOptions, open_volume, stack_volumes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unet_med.cases.case import Case
    from unet_med.recipe import Recipe

AnyPath = str | PathLike[str]

_SHOWN = 3


def datalist(
    inputs: AnyPath | Sequence[AnyPath],
    *,
    recipe: Recipe,
    output: AnyPath | None = None,
    overwrite: bool | str = False,
) -> list[dict[str, Any]]:
    """List the cases of a folder, a file or a glob for a bundle config.

    A MONAI engine stops at the first case that fails, so what can be seen beforehand is
    refused here.

    Args:
        inputs: What to segment, as on the command line.
        recipe: States the channels.
        output: Folder that masks go to; ``None`` = none are written.
        overwrite: Whether masks of earlier runs may be replaced; also as text, see `parse_bool`.

    Returns:
        Per case ``image``, the paths in the recipe's channel order, and ``case``, the
        relative folder and name of its mask.

    Raises:
        InputError: Nothing found, an incomplete case, two cases with one name, the output lies in
            an input, or MONAI's command line made a number of a name.
        OutputError: A mask exists already.
    """
    _refuse_numbers(dataset_dir=inputs, output_dir=output)
    cases = _complete_cases(inputs, recipe, output)
    if output is not None:
        destination = Destination(Path(output))
        check_destination(destination, cases)
        if not parse_bool(overwrite, "overwrite"):
            _refuse_existing([destination.mask_path(case) for case in cases])
    return [_datalist_item(case) for case in cases]


def labeled_datalist(images: AnyPath, labels: AnyPath, *, recipe: Recipe) -> list[dict[str, Any]]:
    """List the cases of a folder with their references, paired by relative folder and name.

    A scan ``case_0000`` has the reference ``case`` if there is none of its whole name.

    Args:
        images: Folder of scans.
        labels: Folder of reference masks, named as the cases.
        recipe: States the channels.

    Returns:
        As `datalist`, and ``label``, the path of the reference.

    Raises:
        InputError: As `datalist`; or a case without exactly one reference, or the reverse.
    """
    found = {case.key: case for case in _complete_cases(images, recipe, None)}
    references = find_masks(Path(labels))
    cases = match_reference_names(found, references)
    alone = sorted(cases.keys() ^ references.keys())
    alone += [key for key, paths in sorted(references.items()) if len(paths) > 1]
    if alone:
        msg = (
            f"{len(alone)} cases are not one scan in {images} with one reference in {labels}: "
            f"{_few(alone)}; name them alike"
        )
        raise InputError(msg)
    return [
        {**_datalist_item(case), "label": str(references[key][0])} for key, case in cases.items()
    ]


def partition_cases(
    cases: Sequence[Mapping[str, Any]], *, recipe: Recipe
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Part the cases that fit from those that do not, as far as files' headers tell.

    Args:
        cases: As `labeled_datalist` lists them.
        recipe: States the channels.

    Returns:
        The cases that fit, and for the others their reference's path and why.

    Raises:
        InputError: None fits.
    """
    misfits = {str(case["label"]): _misfit(case, recipe) for case in cases}
    fitting = [dict(case) for case in cases if not misfits[str(case["label"])]]
    failed = {path: misfit for path, misfit in misfits.items() if misfit}
    if not fitting:
        path, misfit = next(iter(failed.items()))
        msg = f"none of {len(failed)} cases can be scored, first {path}: {misfit}"
        raise InputError(msg)
    return fitting, failed


def _misfit(case: Mapping[str, Any], recipe: Recipe) -> str:
    """Return why a scan and its reference cannot be scored; empty = they can."""
    rules = ReadOptions().for_modalities(channel.modality for channel in recipe.channels)
    try:
        scan = stack_volumes([open_volume(p, series=rules.series) for p in case["image"]])
        reference = open_volume(case["label"])
    except (UnetMedError, OSError) as exc:
        return " ".join(str(exc).split())
    for volume, expected in ((scan, len(recipe.channels)), (reference, 1)):
        if volume.n_channels != expected:
            return f"{volume.name} has {volume.n_channels} channels, expected {expected}"
    apart = grid_difference(scan.geometry, reference.geometry)
    return f"scan and reference are on different grids: {apart}; resample one" if apart else ""


def required_option(what: str) -> NoReturn:
    """Stand in a config for a value that has no default, so that MONAI's error shows the text.

    Args:
        what: The option and what it means.

    Raises:
        InputError: Always.
    """
    msg = f"this bundle has no data of its own: pass {what}"
    raise InputError(msg)


def _refuse_numbers(**paths: object) -> None:
    """MONAI's command line reads 20260131, and 2026_01_31 too, as a whole number."""
    for name, value in paths.items():
        if isinstance(value, int | float):
            msg = f"{name} came as the number {value}, not as a path: write it as ./NAME or in full"
            raise InputError(msg)


def _complete_cases(
    inputs: AnyPath | Sequence[AnyPath], recipe: Recipe, output: AnyPath | None
) -> tuple[Case, ...]:
    many = [inputs] if isinstance(inputs, str | PathLike) else inputs
    names = [channel.name for channel in recipe.channels]
    cases = find_cases(
        [str(item) for item in many],
        n_channels=len(names),
        output=None if output is None else Path(output),
        channel_names=names,
    ).cases
    problems = [f"{case.key}: {case.problem}" for case in cases if case.problem is not None]
    if problems:
        raise InputError("; ".join(problems[:_SHOWN]))
    return cases


def _refuse_existing(masks: Sequence[Path]) -> None:
    if existing := [str(mask) for mask in masks if mask.exists()]:
        msg = (
            f"{len(existing)} masks exist already: {_few(existing)}; choose another output_dir, "
            "or set overwrite to true"
        )
        raise OutputError(msg)


def _datalist_item(case: Case) -> dict[str, Any]:
    return {"image": [str(path) for path in case.paths], "case": case.key}


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
