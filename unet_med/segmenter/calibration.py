"""How right a bundle's probabilities are on labeled scans, and its temperature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.errors import GeometryError, InputError
from unet_med.geometry import grid_difference, slice_layout
from unet_med.quality import (
    MAX_SAMPLE,
    Reliability,
    VoxelSample,
    fit_temperature,
    negative_log_likelihood,
    reliability,
)
from unet_med.segmenter.inputs import as_volume
from unet_med.volumes import open_volume

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from unet_med._progress import CaseProgress
    from unet_med.segmenter.case import CaseInference
    from unet_med.segmenter.segmenter import Segmenter


@dataclass(frozen=True)
class Calibration:
    """What a fit of the temperature found.

    Attributes:
        temperature: The fitted one.
        temperature_before: The recipe's.
        label_names: Label value to name, in the order of the tables.
        before: Reliability under the recipe's temperature.
        after: Reliability under the fitted one.
        loss_before: Mean negative log likelihood under the recipe's, in nats per voxel.
        loss_after: The same under the fitted one.
        n_cases: Scans.
        n_slices: Their slices.
        n_voxels: Voxels looked at, chosen at random.
    """

    temperature: float
    temperature_before: float
    label_names: Mapping[int, str]
    before: Reliability
    after: Reliability
    loss_before: float
    loss_after: float
    n_cases: int
    n_slices: int
    n_voxels: int

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready content; NaN becomes null."""
        named = list(self.label_names.items())
        return {
            "temperature": self.temperature,
            "temperature_before": self.temperature_before,
            "n_cases": self.n_cases,
            "n_slices": self.n_slices,
            "n_voxels": self.n_voxels,
            "negative_log_likelihood": {"before": self.loss_before, "after": self.loss_after},
            "calibration_error": {
                "before": _number(self.before.error),
                "after": _number(self.after.error),
            },
            "labels": [
                {
                    "label": value,
                    "label_name": name,
                    "calibration_error": {
                        "before": _number(self.before.errors[n]),
                        "after": _number(self.after.errors[n]),
                    },
                    "bins": {"before": _bins(self.before, n), "after": _bins(self.after, n)},
                }
                for n, (value, name) in enumerate(named)
            ],
        }


def calibrate(
    segmenter: Segmenter,
    cases: Sequence[tuple[Sequence[Path], Path]],
    *,
    max_voxels: int = MAX_SAMPLE,
    progress: CaseProgress | None = None,
) -> Calibration:
    """Fit the temperature of a bundle on labeled scans that it was not trained on.

    The network runs once over every scan; a fixed number of voxels, the same in every slice, is
    kept. Nothing is written.

    Args:
        segmenter: One bundle.
        cases: Per case its scan files in channel order, and its reference mask.
        max_voxels: Voxels kept in all.
        progress: Called with (cases done, cases in all, name of the next).

    Raises:
        InputError: There is no case, or the segmenter is an ensemble.
        VolumeError, GeometryError, LabelError: A scan or a reference cannot be used.
    """
    if segmenter.other_bundles or not cases:
        msg = "calibration needs labeled scans and one bundle, not an ensemble"
        raise InputError(msg)
    n_slices = sum(_count_slices(paths[0], segmenter) for paths, _ in cases)
    sample = VoxelSample(n_slices, max_voxels=max_voxels)
    for number, (paths, reference) in enumerate(cases):
        if progress is not None:
            progress(number, len(cases), str(paths[0]))
        case = segmenter.open(list(paths) if len(paths) > 1 else paths[0])
        _add(sample, case, reference)
    return _fitted(sample, segmenter, n_cases=len(cases), n_slices=n_slices)


def _count_slices(path: Path, segmenter: Segmenter) -> int:
    geometry = as_volume(path, None, segmenter.read_rules).geometry
    return slice_layout(geometry, segmenter.recipe.slice_axis).n_slices(geometry)


def _add(sample: VoxelSample, case: CaseInference, reference: Path) -> None:
    from unet_med.metrics.labels import integer_labels  # its package takes a third of a second

    mask = open_volume(reference)
    apart = grid_difference(case.volume.geometry, mask.geometry)
    if apart is not None:
        msg = f"{reference} lies on another grid than its scan: {apart}"
        raise GeometryError(msg)
    values = tuple(case.recipe.labels)
    for start, logits in case.logits():
        slab = mask.read(start, start + len(logits), axis=case.layout.slice_axis)[0]
        true = integer_labels(case.layout.to_slices(slab), name=str(reference))
        sample.add(logits, true, values)


def _fitted(
    sample: VoxelSample, segmenter: Segmenter, *, n_cases: int, n_slices: int
) -> Calibration:
    recipe, logits, truth = segmenter.recipe, sample.logits, sample.truth
    temperature = fit_temperature(logits, truth, activation=recipe.activation)
    tables, losses = [], []
    for divisor in (recipe.temperature, temperature):
        tables.append(reliability(logits, truth, activation=recipe.activation, temperature=divisor))
        losses.append(
            negative_log_likelihood(
                logits, truth, activation=recipe.activation, temperature=divisor
            )
        )
    return Calibration(
        temperature=temperature,
        temperature_before=recipe.temperature,
        label_names=dict(recipe.labels),
        before=tables[0],
        after=tables[1],
        loss_before=losses[0],
        loss_after=losses[1],
        n_cases=n_cases,
        n_slices=n_slices,
        n_voxels=len(truth),
    )


def _bins(table: Reliability, label: int) -> list[dict[str, Any]]:
    """Return voxels, mean probability and share found of every bin of one label."""
    rows = zip(table.voxels[label], table.expected[label], table.found[label], strict=True)
    return [
        {
            "voxels": int(voxels),
            "probability": float(expected / voxels) if voxels else None,
            "found": float(found / voxels) if voxels else None,
        }
        for voxels, expected, found in rows
    ]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
