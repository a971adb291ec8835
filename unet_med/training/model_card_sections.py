"""Sections of a model card: Dice per label over patients, and how the bundle is used."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unet_med.evaluation.statistics import bootstrap_interval
from unet_med.training.data.held_out import reason_not_scored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unet_med.recipe import Recipe
    from unet_med.training.plan import TrainingPlan


@dataclass(frozen=True, slots=True)
class LabelScore:
    """Dice of one label.

    Attributes:
        n_patients: Patients in which it is in the reference or the prediction.
        mean: Mean over patients of the mean of their cases; None without any.
        interval: 95 % bootstrap interval of the mean, patients drawn; None for fewer than two.
        lowest: The lowest case.
    """

    n_patients: int
    mean: float | None
    interval: tuple[float, float] | None
    lowest: float | None


def label_scores(
    scores: Mapping[str, Mapping[str, float | None]], plan: TrainingPlan
) -> dict[str, LabelScore]:
    """Return the Dice per label over patients.

    Args:
        scores: Case → label name → Dice.
        plan: Says which case is of whom.
    """
    patients = {case.id: case.patient for case in plan.cases}
    names = list(dict.fromkeys(name for of in scores.values() for name in of))
    return {
        name: _label_score({case: of.get(name) for case, of in scores.items()}, patients)
        for name in names
    }


def _label_score(by_case: Mapping[str, float | None], patients: Mapping[str, str]) -> LabelScore:
    by_patient: dict[str, list[float]] = defaultdict(list)
    for case, value in by_case.items():
        if value is not None:
            by_patient[patients.get(case, case)].append(value)
    means = np.array([np.mean(values) for values in by_patient.values()])
    if not means.size:
        return LabelScore(0, None, None, None)
    interval = bootstrap_interval(means)
    lowest = min(value for values in by_patient.values() for value in values)
    pair = None if interval is None else (interval[0], interval[1])
    return LabelScore(len(means), float(means.mean()), pair, float(lowest))


_TEXT = """\
From this bundle's folder (from elsewhere name it instead of `.`; the configs then take
`--bundle_root`):

```
unet-med segment SCANS --bundle . --output MASKS
python -m monai.bundle run --config_file configs/inference.yaml \\
  --dataset_dir SCANS --output_dir MASKS
```

```python
import unet_med

unet_med.load(".").segment("scan.nii.gz").save("mask.nii.gz")
```

`SCANS` is a folder, a file or a glob{channels}. All three give the same masks. To score masks, or
the bundle, and to train it again from the start as `configs/plan.json` says:

```
unet-med evaluate --predictions MASKS --references LABELS --output SCORES
python -m monai.bundle run --config_file configs/evaluate.yaml{dataset}
python -m monai.bundle run --config_file configs/train.yaml
```"""


def how_to_use(recipe: Recipe, plan: TrainingPlan) -> str:
    """Return the section of the card as Markdown.

    Args:
        recipe: Names the channels.
        plan: Says whether evaluate.yaml has cases of its own to score.
    """
    names = [channel.name for channel in recipe.channels]
    files = ", ".join(f"`CASE_{n:04d}.nii.gz` {name}" for n, name in enumerate(names))
    channels = f"; a case is one file per channel: {files}" if len(names) > 1 else ""
    dataset = " --dataset_dir FOLDER_WITH_images_AND_labels" if reason_not_scored(plan) else ""
    return _TEXT.format(channels=channels, dataset=dataset)
