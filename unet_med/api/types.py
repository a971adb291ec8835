"""Types of the API's parameters; `Parse` says how the command line reads one.

Only the standard library is imported, so that ``--help`` is fast.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from unet_med.errors import InputError

StrPath = str | PathLike[str]

Backend = Literal["auto", "torch", "openvino"]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16", "int8"]
TrainingPrecision = Literal["auto", "fp32", "bf16"]
SliceAxis = Literal["axial", "coronal", "sagittal", "thickest"]
Empty = Literal["skip", "one", "zero"]
MetricSet = Literal["all", "counts"]
MaskFormat = Literal["nifti", "nrrd", "mha", "mgz", "dicom-seg", "input"]
MirrorAxis = Literal["left-right", "anterior-posterior", "inferior-superior"]


@dataclass(frozen=True)
class Parse:
    """Say how the command line reads a parameter; stands in `Annotated`.

    Attributes:
        parse: Turns the text into the value; raises `InputError` when it cannot.
        metavar: Placeholder in the help.
        repeat: Whether the option may be given several times; the values form a list.
    """

    parse: Callable[[str], Any]
    metavar: str
    repeat: bool = False


def check_choice(value: object, choices: Any, name: str) -> None:  # noqa: ANN401 - a Literal
    """Refuse a value that a `Literal` does not list.

    Raises:
        InputError: It is another one.

    Example:
        >>> check_choice("all", MetricSet, "metrics")
        >>> check_choice("fast", MetricSet, "metrics")
        Traceback (most recent call last):
        ...
        unet_med.errors.InputError: metrics is 'fast'; use one of all, counts
    """
    known = get_args(choices)
    if value not in known:
        msg = f"{name} is {value!r}; use one of {', '.join(known)}"
        raise InputError(msg)


def parse_names(text: str) -> tuple[str, ...]:
    """Parse names joined by commas.

    Example:
        >>> parse_names("T1, FLAIR")
        ('T1', 'FLAIR')
    """
    names = tuple(part.strip() for part in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        msg = f"{text!r} is no list of different names; write for example T1,FLAIR"
        raise InputError(msg)
    return names


def parse_labels(text: str) -> tuple[int, ...]:
    """Parse label values.

    Example:
        >>> parse_labels("1,2,7")
        (1, 2, 7)
    """
    try:
        return tuple(int(value) for value in text.split(","))
    except ValueError as exc:
        msg = f"{text!r} is no list of label values; write for example 1,2,7"
        raise InputError(msg) from exc


def parse_label_names(text: str) -> dict[int, str]:
    """Parse a table from label value to name.

    Example:
        >>> parse_label_names("1=csf,2=gray matter")
        {1: 'csf', 2: 'gray matter'}
    """
    pairs = [part.partition("=") for part in text.split(",")]
    try:
        names = {int(value): name.strip() for value, _, name in pairs}
    except ValueError:
        names = {}
    if len(names) != len(pairs) or not all(names.values()):
        msg = f"{text!r} names no labels; write for example 1=csf,2=gray matter"
        raise InputError(msg)
    return names


def parse_region(text: str) -> tuple[str, tuple[int, ...]]:
    """Parse a region: its name and its label values.

    Example:
        >>> parse_region("whole=1,2,3")
        ('whole', (1, 2, 3))
    """
    name, _, values = text.partition("=")
    if not name.strip() or not values:
        msg = f"{text!r} is no region; write for example whole=1,2,3"
        raise InputError(msg)
    return name.strip(), parse_labels(values)


def parse_tolerances(text: str) -> float | dict[int | str | None, float]:
    """Parse a tolerance for all labels, for single ones, or both.

    Example:
        >>> parse_tolerances("1.5"), parse_tolerances("1.5,2=1.0,whole=3")
        (1.5, {None: 1.5, 2: 1.0, 'whole': 3.0})
    """
    parts = [part.rpartition("=") for part in text.split(",")]
    try:
        by_label: dict[int | str | None, float] = {
            int(label) if label.isdecimal() else label.strip() or None: float(value)
            for label, _, value in parts
        }
    except ValueError:
        by_label = {}
    if len(by_label) != len(parts):
        msg = f"{text!r} gives no tolerances in mm; write for example 1.5 or 1=2.0,2=1.0"
        raise InputError(msg)
    return by_label[None] if set(by_label) == {None} else by_label


def parse_jobs(text: str) -> int:
    """Parse a number of processes.

    Example:
        >>> parse_jobs("4")
        4
    """
    if not text.isdecimal() or int(text) < 1:
        msg = f"{text!r} is no number of processes; write 1 or more"
        raise InputError(msg)
    return int(text)


def parse_sizes(text: str) -> tuple[int, ...]:
    """Parse channels per level of the network, each twice the one before.

    Example:
        >>> parse_sizes("16,32,64,128")
        (16, 32, 64, 128)
    """
    parts = text.split(",")
    sizes = tuple(int(part) for part in parts if part.strip().isdecimal())
    doubled = all(after == 2 * before for before, after in pairwise(sizes))
    if len(sizes) != len(parts) or 0 in sizes or not doubled:
        msg = f"{text!r} are no sizes; each level has twice the channels: 16,32,64,128"
        raise InputError(msg)
    return sizes


def parse_mirror(text: str) -> tuple[str, ...]:
    """Parse anatomical axes, or ``none``.

    Example:
        >>> parse_mirror("left-right,inferior-superior"), parse_mirror("none")
        (('left-right', 'inferior-superior'), ())
    """
    axes = () if text == "none" else tuple(part.strip() for part in text.split(","))
    if not set(axes) <= set(get_args(MirrorAxis)):
        allowed = ",".join(get_args(MirrorAxis))
        msg = f"{text!r} are no axes to mirror; write none or some of {allowed}"
        raise InputError(msg)
    return axes


Inputs = Annotated[StrPath | Sequence[StrPath], Parse(str, "INPUT", repeat=True)]
Bundles = Annotated[StrPath | Sequence[StrPath], Parse(Path, "DIR", repeat=True)]
File = Annotated[StrPath, Parse(Path, "PATH")]
Text = Annotated[str, Parse(str, "TEXT")]
Tta = Annotated[str, Parse(str, "recipe|none|AXES")]
Names = Annotated[Sequence[str], Parse(parse_names, "A,B,…")]
Labels = Annotated[Sequence[int], Parse(parse_labels, "1,2,…")]
LabelNames = Annotated[Mapping[int, str], Parse(parse_label_names, "1=a,2=b,…")]
Regions = Annotated[
    Mapping[str, Sequence[int]] | Sequence[tuple[str, Sequence[int]]],
    Parse(parse_region, "NAME=1,2,…", repeat=True),
]
Tolerances = Annotated[
    float | Mapping[int | str | None, float], Parse(parse_tolerances, "MM|1=MM,…")
]
Jobs = Annotated[int, Parse(parse_jobs, "N")]
Sizes = Annotated[Sequence[int], Parse(parse_sizes, "16,32,…")]
Mirror = Annotated[Sequence[str], Parse(parse_mirror, "AXIS,…|none")]


def optional_path(path: StrPath | None) -> Path | None:
    """Return a `Path`, or None for None.

    Example:
        >>> optional_path("scans"), optional_path(None)
        (PosixPath('scans'), None)
    """
    return None if path is None else Path(path)
