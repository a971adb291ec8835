"""Report masks without references: volumes, estimated quality, slices to look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unet_med.geometry import SLICE_ORIENTATIONS, world_axes
from unet_med.reporting.report_data import (
    MAX_REVIEW_SLICES,
    CaseEntry,
    CasePage,
    Curve,
    LabelSeries,
    Problem,
    Report,
    ReportColumn,
    ReportRow,
    WorstSlice,
)
from unet_med.volumes import open_volume

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_COLUMNS = (
    ReportColumn("score", "lowest quality score", "higher", limits=(0.0, 1.0),
           help="of the label's worst slice; see docs/quality.md"),
    ReportColumn("entropy", "entropy", "lower", help="0 certain, 1 undecided; mean over the label"),
    ReportColumn("slices_flagged", "slices to look at", "lower", digits=0),
    ReportColumn("volume_ml", "volume, ml", digits=1),
    ReportColumn("components", "components", "lower", digits=0, help="pieces that do not touch"),
    ReportColumn("largest_component", "share of the largest component", "higher",
           limits=(0.0, 1.0)),
)  # fmt: skip

_CURVES = (
    ("score", "quality score (0 bad, 1 good)", 3, 1.0),
    ("expected_dice", "expected Dice", 3, 1.0),
    ("entropy", "entropy (0 certain, 1 undecided)", 3, 1.0),
    ("neighbor_dice", "Dice with the neighboring slices", 3, 1.0),
    ("area_mm2", "area in mm²", 1, None),
)

_QUALITY_WORDS = (
    "how good a slice looks, from the network's own probabilities and its neighbors: no Dice, "
    "and it can be wrong, above all for what the network never saw"
)
_METRIC_NOTES = (
    ("no reference", "nothing here was compared with a true mask; every score is an estimate"),
    ("quality score", _QUALITY_WORDS),
    ("order", "cases and slices with the lowest score come first"),
)


@dataclass(frozen=True, slots=True)
class SegmentedCase:
    """Hold a mask file and the content of its sidecar.

    Attributes:
        case: Its id.
        mask: The mask file.
        sidecar: Content of the sidecar, see ``unet_med.batch.sidecar``.
        changed: Whether the mask is another file than the one the sidecar was written for.

    Example:
        >>> from pathlib import Path
        >>> case = SegmentedCase("a", Path("a.nii.gz"), {"label_names": {"1": "liver"}})
        >>> case.label_names, case.slice_axis()
        ({1: 'liver'}, 'thickest')
    """

    case: str
    mask: Path
    sidecar: Mapping[str, Any] = field(repr=False)
    changed: bool = False

    @property
    def quality(self) -> Mapping[str, Any]:
        """Return what was measured without a reference."""
        found: Mapping[str, Any] = self.sidecar.get("quality") or {}
        return found

    @property
    def label_names(self) -> dict[int, str]:
        """Return the label names by value."""
        names = self.sidecar.get("label_names") or {}
        return {int(value): str(name) for value, name in names.items()}

    @property
    def slice_scores(self) -> dict[int, list[float | None]]:
        """Return the quality score per slice, by label; empty when none was measured."""
        by_label = (self.quality.get("slices") or {}).get("labels", {})
        return {int(label): columns["score"] for label, columns in by_label.items()}

    def slice_axis(self) -> str:
        """Return what the slices of its curves are: axial, coronal, sagittal or thickest.

        Raises:
            VolumeError: The mask cannot be read.
        """
        if "slice_axis" not in self.quality:
            return "thickest"
        along, _ = world_axes(open_volume(self.mask).geometry.voxel_to_world)
        world = along[self.quality["slice_axis"]]
        return SLICE_ORIENTATIONS[world]


def segmentation_report(
    cases: Sequence[SegmentedCase], failed: Mapping[str, str], *, not_shown: Mapping[str, str]
) -> Report:
    """Return the report of a folder of masks.

    Args:
        cases: What was segmented.
        failed: Why others were not, by case.
        not_shown: Why cases have no pictures, by case.
    """
    names: dict[int, str] = {}
    for case in cases:
        names |= case.label_names
    labels = {value: names[value] for value in sorted(names) if value != 0}
    rows = [ReportRow(case.case, label, _values(case, label)) for case in cases for label in labels]
    held = {name for row in rows for name, value in row.values.items() if value is not None}
    columns = tuple(column for column in _COLUMNS if column.name in held) or _COLUMNS[3:4]
    entries = [CaseEntry(case.case, "done", not_shown.get(case.case, "")) for case in cases]
    entries += [CaseEntry(case, "failed", error) for case, error in failed.items()]
    by_id = {case.case: case for case in cases}
    return Report(
        title="Segmentation, without a reference",
        kind="segmentation",
        labels=tuple(labels.items()),
        columns=columns,
        rows=(*rows, *(ReportRow(case, None, {}) for case in failed)),
        cases=tuple(entries),
        page_of=lambda case: segmented_page(by_id[case]),
        problems=_problems(cases, failed, not_shown),
        metric_notes=_METRIC_NOTES,
        provenance=_provenance(cases),
    )


def segmented_page(case: SegmentedCase) -> CasePage:
    """Return what a page says about one mask."""
    quality = case.quality
    notes = [str(text) for text in quality.get("warnings", ())]
    if case.changed:
        notes.append(
            "The mask was changed after it was written: volumes and quality are of the first one."
        )
    if "slices" not in quality:
        notes.append("The sidecar holds no quality per slice: there are no curves.")
    volumes = case.sidecar.get("volumes_ml") or {}
    return CasePage(
        curves=_curves(quality),
        worst=tuple(
            WorstSlice(int(one["slice"]), f"{_name(one)}: " + "; ".join(one["reasons"]))
            for one in quality.get("review", ())[:MAX_REVIEW_SLICES]
        ),
        volume_title="volume, ml",
        volume_values={
            value: volumes[name] for value, name in case.label_names.items() if name in volumes
        },
        volume_digits=1,
        facts=_facts(case),
        notes=tuple(notes),
    )


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("label_name") or f"label {entry['label']}")


def _curves(quality: Mapping[str, Any]) -> tuple[Curve, ...]:
    by_label = (quality.get("slices") or {}).get("labels", {})
    curves = []
    for key, title, digits, high in _CURVES:
        series = tuple(
            LabelSeries(int(label), columns[key])
            for label, columns in by_label.items()
            if key in columns
        )
        if series:
            curves.append(Curve(title, series, digits, high))
    return tuple(curves)


def _values(case: SegmentedCase, label: int) -> dict[str, Any]:
    found = [one for one in case.quality.get("labels", ()) if one["label"] == label]
    measured = found[0] if found else {}
    values = {column.name: measured.get(column.name) for column in _COLUMNS}
    volumes = case.sidecar.get("volumes_ml") or {}
    return values | {"volume_ml": volumes.get(case.label_names.get(label, ""))}


def _problems(
    cases: Sequence[SegmentedCase], failed: Mapping[str, str], not_shown: Mapping[str, str]
) -> tuple[Problem, ...]:
    lines = tuple(f"{case}: {error}" for case, error in failed.items())
    unseen = tuple(f"{case}: {error}" for case, error in not_shown.items())
    warned = tuple(
        f"{case.case}: {text}" for case in cases for text in case.quality.get("warnings", ())
    )
    problems = (
        Problem("failed", f"Not segmented: {len(lines)}", lines),
        Problem("failed", f"Masks that cannot be shown: {len(unseen)}", unseen),
        Problem("extra", f"Warnings: {len(warned)}", warned),
    )
    return tuple(problem for problem in problems if problem.items)


def _facts(case: SegmentedCase) -> tuple[tuple[str, str], ...]:
    sidecar = case.sidecar
    execution = sidecar.get("execution") or {}
    facts = {
        "program": " ".join(map(str, (sidecar.get("program") or {}).values())),
        "command": sidecar.get("command_line"),
        "bundle": " ".join(map(str, (sidecar.get("bundle") or {}).values())),
        "run by": ", ".join(
            f"{name} {execution[name]}"
            for name in ("backend", "precision", "device", "threads")
            if name in execution
        ),
    }
    return tuple((name, str(value)) for name, value in facts.items() if value)


def _provenance(cases: Sequence[SegmentedCase]) -> tuple[tuple[str, str], ...]:
    """Return what the cases were made by; where they differ, each way once."""
    collected: dict[str, list[str]] = {}
    for case in cases:
        for name, value in _facts(case):
            if value not in collected.setdefault(name, []):
                collected[name].append(value)
    return tuple((name, " | ".join(values)) for name, values in collected.items())
