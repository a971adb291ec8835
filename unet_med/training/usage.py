"""How a trained bundle is used, for its model card: the three doors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet_med.training.unseen import why_not_scored

if TYPE_CHECKING:
    from unet_med.recipe import Recipe
    from unet_med.training.plan import TrainingPlan

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
    dataset = " --dataset_dir FOLDER_WITH_images_AND_labels" if why_not_scored(plan) else ""
    return _TEXT.format(channels=channels, dataset=dataset)
