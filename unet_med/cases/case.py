"""Cases: scans to segment, scans with their label maps, and the lists of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unet_med.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True)
class Case:
    """One examination: its files and where its mask goes.

    Attributes:
        id: Name of the mask without its ending.
        relative_folder: Folder of the mask, relative to the output folder.
        paths: The files in the recipe's channel order; one file unless C > 1.
        channel: Which channel or frame of a 4D file to take; None = the file's only one, or all.
        problem: Why the case cannot run; it is then listed as failed, not lost.

    Example:
        >>> from pathlib import Path, PurePosixPath
        >>> Case("t1", PurePosixPath("p1"), (Path("scans/p1/t1.nii.gz"),)).key
        'p1/t1'
    """

    id: str
    relative_folder: PurePosixPath
    paths: tuple[Path, ...]
    channel: int | None = None
    problem: str | None = None

    @property
    def key(self) -> str:
        """Relative folder and id, ``sub/a``: the name of the case in reports."""
        return (self.relative_folder / self.id).as_posix()


@dataclass(frozen=True, slots=True)
class CaseList:
    """Cases to segment, sorted by relative folder and id, and the rules they were found by.

    Example:
        >>> CaseList((), rule="one per file").cases
        ()
    """

    cases: tuple[Case, ...]
    rule: str


@dataclass(frozen=True, slots=True)
class LabeledCase:
    """One examination with its label map.

    Attributes:
        id: Unique within the data set; with forward slashes where it lies in sub-folders.
        images: One file per channel, in order; or one file that holds all channels.
        label: The label map, on the same grid.
        patient: Who it is.
        fold: Fold that a list states; None = none.
        held_out: A list puts it aside for validation.

    Example:
        >>> from pathlib import Path
        >>> LabeledCase("p1", (Path("images/p1.nii"),), Path("labels/p1.nii"), patient="p1").fold
    """

    id: str
    images: tuple[Path, ...]
    label: Path
    patient: str = ""
    fold: int | None = None
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class UnpairedCase:
    """A case without its other half.

    Attributes:
        id: Its id.
        role: What there is: ``image`` or ``label``.
        why: What is the matter, in words.
        suggestions: Unpaired ids of the other side that look like it, best first.

    Example:
        >>> UnpairedCase("p01", "image", "has no label map", ("p1",)).suggestions
        ('p1',)
    """

    id: str
    role: str
    why: str
    suggestions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Channels and labels as ``dataset.json`` or the user states them.

    Attributes:
        channels: Channel names, in order.
        modalities: Modality of each channel, such as ``CT``; same length, or empty.
        labels: Label value → name, without the background; empty = not stated.
        regions: Region name → label values; of equally large ones the later is painted over.
        ignore: Value that marks voxels nobody labeled.

    Example:
        >>> DatasetInfo(channels=("T1", "FLAIR"), labels={1: "lesion"}).labels
        {1: 'lesion'}
    """

    channels: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    labels: dict[int, str] = field(default_factory=dict)
    regions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    ignore: int | None = None

    def __post_init__(self) -> None:
        """Refuse two labels of one name: a training's scores go by name, one would be lost.

        Raises:
            InputError: Two values have the same name.
        """
        names = list(self.labels.values())
        if twice := next((name for name in names if names.count(name) > 1), None):
            values = sorted(value for value, name in self.labels.items() if name == twice)
            msg = (
                f"label values {values} are all named {twice!r}: give each a name of its own, or "
                "make them one region"
            )
            raise InputError(msg)


@dataclass(frozen=True, slots=True)
class LabeledCaseList:
    """The labeled cases of a data set and how they were found.

    Attributes:
        cases: Sorted by id.
        rule: How images and labels were put together, one sentence.
        patients: How patients were told apart, one sentence.
        info: Names of channels and labels that the data set states.
        unpaired: Images without labels and labels without images.

    Example:
        >>> LabeledCaseList((), rule="as listed in cases.csv", patients="as listed").info.channels
        ()
    """

    cases: tuple[LabeledCase, ...]
    rule: str
    patients: str
    info: DatasetInfo = field(default_factory=DatasetInfo)
    unpaired: tuple[UnpairedCase, ...] = ()
