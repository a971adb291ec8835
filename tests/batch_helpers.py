"""Small scans and a segmenter without torch: labels are two gray value thresholds."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from unet_med.backends import Execution
from unet_med.batch import BatchSettings, Destination, find_cases, run_batch
from unet_med.bundle import open_bundle
from unet_med.errors import BundleError
from unet_med.preprocessing import Normalization
from unet_med.recipe import Channel, NetworkRecipe, Recipe
from unet_med.segmenter import Segmenter
from unet_med.volumes import ReadOptions

if TYPE_CHECKING:
    from pathlib import Path

AFFINE = np.array([[-1.0, 0, 0, 5], [0, 1.5, 0, -7], [0, 0, 3, 2], [0, 0, 0, 1]])


class Thresholds:
    """A predictor of three channels: label 1 from one standard deviation up, 2 from two up."""

    def __call__(self, slices, /):
        value = slices[:, :1]
        return np.concatenate([np.zeros_like(value), value - 0.5, 2 * value - 1.5], axis=1)


def write_bundle(root, *, n_channels=1):
    """Write a bundle folder with a recipe and any bytes as weights."""
    recipe = Recipe(
        name="thresholds",
        network=NetworkRecipe(n_channels, 3, (2, 4)),
        channels=tuple(
            Channel(("T1", "FLAIR", "T2")[n], "MR", Normalization("zscore", "all", -5.0, 5.0))
            for n in range(n_channels)
        ),
        labels={1: "bright", 2: "brighter"},
    )
    recipe.save(root / "configs" / "recipe.json")
    (root / "models").mkdir(exist_ok=True)
    (root / "models" / "model.pt").write_bytes(b"weights")
    return root


def make_segmenter(root, **execution):
    """Return a segmenter whose network is `Thresholds`; one channel unless a bundle is there."""
    if not (root / "configs").is_dir():
        write_bundle(root)
    how = Execution("torch", "fp32", "cpu", 1, "for a test")
    return Segmenter(open_bundle(root), replace(how, **execution), Thresholds())


@dataclass(frozen=True)
class TrappedThresholds(Thresholds):
    """`Thresholds`, and traps that a test lays as files in a folder.

    ``kill-N`` kills the process at the first slices whose longer side is N, and is gone then if
    it is called ``kill-N-once``; ``slow`` holds the number of seconds that each call takes.
    """

    traps: Path

    def __call__(self, slices, /):
        side = max(slices.shape[2:])
        once = self.traps / f"kill-{side}-once"
        if once.exists() or (self.traps / f"kill-{side}").exists():
            once.unlink(missing_ok=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if (self.traps / "slow").exists():
            time.sleep(float((self.traps / "slow").read_text()))
        return super().__call__(slices)


@dataclass(frozen=True)
class ThresholdsLoader:
    """Loads a segmenter of `TrappedThresholds` in any process."""

    root: Path
    sha256: str

    @classmethod
    def of(cls, root):
        if not (root / "configs").is_dir():
            write_bundle(root)
        return cls(root, open_bundle(root).sha256)

    @property
    def key(self):
        return self.root, self.sha256

    @property
    def bundle(self):
        return open_bundle(self.root)

    @property
    def recipe(self):
        return self.bundle.recipe

    def identity(self):
        return self.load().identity()

    @property
    def rules(self):
        return ReadOptions()

    @property
    def execution(self):
        return Execution("torch", "fp32", "cpu", 1, "for a test")

    def check_in_worker(self):
        if self.bundle.sha256 != self.sha256:
            msg = "the bundle differs"
            raise BundleError(msg)

    def load_in_worker(self):
        self.check_in_worker()
        return self.load()

    def load(self):
        return Segmenter(self.bundle, self.execution, TrappedThresholds(self.root))


def write_scan(path, *, shape=(6, 5, 4), seed=0, affine=AFFINE):
    """Write a scan of noise, int16; a fourth axis gives frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).normal(100, 30, shape).astype(np.int16)
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    return path


def reference_labels(path, frame=None):
    """The obvious way to what `Thresholds` gives."""
    values = np.asarray(nib.load(path).dataobj, dtype=np.float64)
    if frame is not None:
        values = values[..., frame]
    z = (values - values.mean()) / values.std()
    return np.where(z > 1.0, 2, np.where(z > 0.5, 1, 0)).astype(np.uint8)


def run_cases(tmp_path, *inputs, output="out", mask_format="nifti", n_channels=1, **settings):
    """Segment ``in`` into ``out``, both in the temporary folder."""
    if not (tmp_path / "bundle").is_dir():
        write_bundle(tmp_path / "bundle", n_channels=n_channels)
    destination = Destination.parse(tmp_path / output, format=mask_format)
    cases = find_cases(inputs or [tmp_path / "in"], n_channels=n_channels, output=tmp_path / output)
    return run_batch(
        cases,
        destination,
        segmenter=make_segmenter(tmp_path / "bundle"),
        settings=BatchSettings(**settings),
    )


def statuses(report):
    return {outcome.case.key: str(outcome.status) for outcome in report.outcomes}


def ledger_lines(tmp_path):
    return [json.loads(line) for line in (tmp_path / "out/ledger.jsonl").read_text().splitlines()]


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def labels_of(path):
    return np.asarray(nib.load(path).dataobj)
