"""Dice on unseen cases after M minutes of nnU-Net's own 2D trainer, as `time_to_dice.py` has it.

Run, where ``nnunetv2`` is installed (the package itself does not need it):
``python benchmarks/nnunet_train.py SETS/tumor --minutes 15 --threads 2``, with a set of
``datasets.py``. Fingerprint, plan, preprocessing and training are nnU-Net's own, in its 2D
configuration with its defaults, on all training cases; minutes are wall time from the start to
weights in memory, as for the others. Two things are changed in its favor, for its 1000 epochs
would never end: it stops when the time is over, and its learning rate falls to zero by then. It
augments in this process and predicts with mirroring. Labels are numbered anew, since it takes no
gaps.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import torch
from time_to_dice import cases_of, score, show

if TYPE_CHECKING:
    from unet_med.cases import LabeledCase

NAME = "Dataset001_set"


def main() -> None:
    """Prepare, train and score."""
    began = time.monotonic() - 5.0  # about what the interpreter and the imports took
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - what nnU-Net draws from
    with tempfile.TemporaryDirectory() as name:
        for kind in ("raw", "preprocessed", "results"):
            os.environ[f"nnUNet_{kind}"] = str(Path(name, kind))
        os.environ["nnUNet_n_proc_DA"] = "1"  # noqa: SIM112 - its own name
        values, channels = write_dataset(args.folder / "train", Path(name, "raw", NAME))
        trainer = trainer_for(Path(name, "preprocessed", NAME), args.threads)
        os.environ["nnUNet_n_proc_DA"] = "0"  # noqa: SIM112 - augment here; its planner needs 1
        torch.set_num_threads(args.threads)  # the planner changed it
        steps = train(trainer, began, 60 * args.minutes)
        minutes = (time.monotonic() - began) / 60
        print(f"nnU-Net: {steps} steps of {trainer.batch_size} patches", file=sys.stderr)
        print("| way | minutes | mean Dice | per label |\n|---|---|---|---|")
        cases = cases_of(args.folder / "test")
        scores = [score(predict(trainer, case, values), case, values) for case in cases]
        show(f"nnU-Net 2D, {channels}, {steps} steps", minutes, scores)


def write_dataset(source: Path, target: Path) -> tuple[list[int], str]:
    """Write nnU-Net's raw data set; return the label values and what its channels are."""
    for folder in ("imagesTr", "labelsTr"):
        (target / folder).mkdir(parents=True)
    cases = cases_of(source)
    maps = [nib.load(case.label) for case in cases]
    arrays = [np.asarray(image.dataobj).astype(int) for image in maps]
    values = sorted({int(value) for array in arrays for value in np.unique(array)} - {0})
    table = np.zeros(max(values) + 1, np.uint8)
    table[values] = np.arange(1, len(values) + 1)
    lowest = 0.0
    for case, image, array in zip(cases, maps, arrays, strict=True):
        for channel, path in enumerate(case.images):
            (target / "imagesTr" / f"{case.id}_{channel:04d}.nii.gz").symlink_to(path.resolve())
            lowest = min(lowest, float(np.min(nib.load(path).dataobj)))
        renumbered = nib.Nifti1Image(table[array], image.affine)
        nib.save(renumbered, target / "labelsTr" / f"{case.id}.nii.gz")
    kind = "CT" if lowest < 0 else "MR"  # Hounsfield units or not
    description = {
        "channel_names": {
            str(n): "CT" if kind == "CT" else f"MR{n}" for n in range(len(cases[0].images))
        },
        "labels": {"background": 0, **{str(value): table[value].item() for value in values}},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    }
    (target / "dataset.json").write_text(json.dumps(description))
    return values, kind


def trainer_for(preprocessed: Path, processes: int) -> Any:  # noqa: ANN401 - untyped package
    """Fingerprint, plan and preprocess; return the trainer of the 2D configuration."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    extract_fingerprints([1], num_processes=processes)
    plan_experiments([1])
    preprocess([1], configurations=("2d",), num_processes=(processes,))
    plans = json.loads((preprocessed / "nnUNetPlans.json").read_text())
    plans["continue_training"] = False
    dataset = json.loads((preprocessed / "dataset.json").read_text())
    return nnUNetTrainer(plans, "2d", "all", dataset, device=torch.device("cpu"))


def train(trainer: Any, began: float, seconds: float) -> int:  # noqa: ANN401 - untyped package
    """Run training steps until the time is over; return how many."""
    trainer.on_train_start()
    trainer.network.train()
    steps = 0
    while (done := (time.monotonic() - began) / seconds) < 1.0:
        for group in trainer.optimizer.param_groups:
            group["lr"] = trainer.initial_lr * (1.0 - done) ** 0.9  # its own polynomial
        trainer.train_step(next(trainer.dataloader_train))
        steps += 1
    return steps


def predict(
    trainer: Any,  # noqa: ANN401 - untyped package
    case: LabeledCase,
    values: list[int],
) -> np.ndarray:
    """Return the labels of a case (i, j, k), in the values of the data set."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    trainer.set_deep_supervision_enabled(False)
    predictor = nnUNetPredictor(
        device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False
    )
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [trainer.network.state_dict()],
        trainer.dataset_json,
        "nnUNetTrainer",
        trainer.inference_allowed_mirroring_axes,
    )
    reader = trainer.plans_manager.image_reader_writer_class()
    scan, properties = reader.read_images([str(path) for path in case.images])
    labels = predictor.predict_single_npy_array(scan, properties)
    return np.array([0, *values])[labels.astype(int)].transpose(2, 1, 0)


if __name__ == "__main__":
    main()
