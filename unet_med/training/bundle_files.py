"""The files of a bundle around its weights: configs, metadata and a license to be filled in."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from unet_med._files import atomic_path, write_json
from unet_med._version import __version__
from unet_med.bundle import METADATA, RECIPE, default_bundle
from unet_med.errors import OutputError
from unet_med.training.data.held_out import reason_not_scored
from unet_med.training.plan import PLAN

if TYPE_CHECKING:
    from pathlib import Path

    from unet_med.recipe import Recipe
    from unet_med.training.plan import TrainingPlan

CONFIGS = (
    "inference.yaml",
    "evaluate.yaml",
    "train.yaml",
    "multi_gpu_train.yaml",
    "logging.conf",
)
SCHEMA = "https://project-monai.github.io/schema/meta_schema_20240725.json"
PACKAGES = ("fire", "nibabel", "pytorch-ignite", "pyyaml", "scipy")
COMMAND = "training_command"
"""Key of the metadata; a bundle that has it gets its model card when it has been trained."""

_DATASET_LINE = re.compile(r"^dataset_dir: .*$", re.MULTILINE)
_DATASETS = {
    "inference.yaml": "$um.required_option('--dataset_dir FOLDER_OF_SCANS')",
    "evaluate.yaml": "$um.required_option('--dataset_dir FOLDER with images/ and labels/')",
}
"""What the configs of a trained bundle ask for."""

LICENSE = """\
No license has been chosen for this bundle: its weights and its training data belong to whoever
made them. Replace this text by the license under which you pass the bundle on.
"""


def write_bundle(root: Path, recipe: Recipe, plan: TrainingPlan, *, command_line: str = "") -> None:
    """Write everything of a bundle but its weights; the plan last.

    Args:
        root: The new bundle's folder.
        recipe: Says what the network sees and gives.
        plan: Says how it is trained.
        command_line: For the model card.

    Raises:
        OutputError: A file cannot be written.
    """
    shipped = default_bundle()
    for name in CONFIGS:
        text = (shipped / "configs" / name).read_text(encoding="utf-8")
        with atomic_path(root / "configs" / name) as partial:
            partial.write_text(_without_demo(name, text, plan), encoding="utf-8")
    write_json(root / METADATA, describe(recipe, plan) | {COMMAND: command_line})
    if not (root / "LICENSE").exists():
        with atomic_path(root / "LICENSE") as partial:
            partial.write_text(LICENSE, encoding="utf-8")
    replace(recipe, weights_sha256="", precisions=()).save(root / RECIPE)
    plan.save(root / PLAN)


def _without_demo(name: str, text: str, plan: TrainingPlan) -> str:
    """Put other defaults in the place of the demo data, which lie in the shipped bundle alone."""
    value = _DATASETS.get(name)
    if value is None:
        return text
    if name == "evaluate.yaml" and not reason_not_scored(plan):
        value = "null"
    return _DATASET_LINE.sub(f"dataset_dir: {value}", text)


def refuse_used_folder(root: Path) -> None:
    """Refuse a folder that holds something already.

    Raises:
        OutputError: It does, or it is a file.
    """
    if root.exists() and not (root.is_dir() and not any(root.iterdir())):
        what = "holds a bundle: go on with --resume, or" if (root / PLAN).is_file() else "exists:"
        msg = f"{root} {what} name a new folder with --output"
        raise OutputError(msg)


def describe(recipe: Recipe, plan: TrainingPlan) -> dict[str, Any]:
    """Return ``metadata.json`` as MONAI's schema has it, from what is known."""
    classes = [f"{value} {name}" for value, name in recipe.labels.items()]
    names = ", ".join(channel.name for channel in recipe.channels)
    n_cases = len(plan.training_cases)
    return {
        "schema": SCHEMA,
        "name": recipe.name,
        "version": "0.1.0",
        "changelog": {"0.1.0": "Trained by unet-med train"},
        "monai_version": _version("monai"),
        "pytorch_version": _version("torch").partition("+")[0],
        "numpy_version": _version("numpy"),
        "required_packages_version": {
            **{name: _version(name) for name in PACKAGES},
            "unet_med": __version__,
        },
        "task": f"Segmentation of {', '.join(recipe.labels.values())}, slice by slice",
        "description": (
            f"A 2D U-Net over {recipe.slice_axis} slices, trained on {n_cases} cases. No medical "
            "device."
        ),
        "authors": "not stated",
        "copyright": "not stated",
        "data_source": "not stated",
        "data_type": "nibabel",
        "image_classes": f"{names}; {recipe.context.slices} slices as network channels",
        "label_classes": ", ".join(["0 background", *classes]),
        "pred_classes": ", ".join(["0 background", *classes]),
        "eval_metrics": {},
        "intended_use": "Research. Not for diagnosis or treatment: it is no medical device.",
        "references": [],
        "network_data_format": {
            "inputs": {"image": _image_format(recipe)},
            "outputs": {"pred": _pred_format(recipe)},
        },
    }


def _image_format(recipe: Recipe) -> dict[str, Any]:
    context = recipe.context.slices
    middle = context // 2
    places = ["" if n == middle else f", context slice {n - middle:+d}" for n in range(context)]
    names = [f"{channel.name}{place}" for place in places for channel in recipe.channels]
    return {
        "type": "image",
        "format": "magnitude",
        "modality": recipe.channels[0].modality,
        "num_channels": recipe.network.in_channels,
        "spatial_shape": ["*", "*"],
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
        "channel_def": {str(n): name for n, name in enumerate(names)},
    }


def _pred_format(recipe: Recipe) -> dict[str, Any]:
    names = list(recipe.labels.values())
    if len(names) < recipe.network.out_channels:
        names = ["background", *names]
    return {
        "type": "image",
        "format": "raw",
        "modality": "n/a",
        "num_channels": recipe.network.out_channels,
        "spatial_shape": ["*", "*"],
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
        "channel_def": {str(n): f"logits of {name}" for n, name in enumerate(names)},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
