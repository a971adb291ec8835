"""Small scans and a segmenter without torch: labels are two grey value thresholds."""

from __future__ import annotations

import json
from dataclasses import replace

import nibabel as nib
import numpy as np

from unet_med.backends import Execution
from unet_med.batch import BatchSettings, Destination, find_cases, run_batch
from unet_med.bundle import open_bundle
from unet_med.preprocessing import Normalisation
from unet_med.recipe import Channel, NetworkRecipe, Recipe
from unet_med.segmenter import Segmenter

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
            Channel(("T1", "FLAIR", "T2")[n], "MR", Normalisation("zscore", "all", -5.0, 5.0))
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


def write_scan(path, *, shape=(6, 5, 4), seed=0, affine=AFFINE):
    """Write a scan of noise, int16; a fourth axis gives frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).normal(100, 30, shape).astype(np.int16)
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    return path


def slow_labels(path, frame=None):
    """The obvious way to what `Thresholds` gives."""
    values = np.asarray(nib.load(path).dataobj, dtype=np.float64)
    if frame is not None:
        values = values[..., frame]
    z = (values - values.mean()) / values.std()
    return np.where(z > 1.0, 2, np.where(z > 0.5, 1, 0)).astype(np.uint8)


def run_cases(tmp_path, *inputs, output="out", n_channels=1, **settings):
    """Segment ``in`` into ``out``, both in the temporary folder."""
    if not (tmp_path / "bundle").is_dir():
        write_bundle(tmp_path / "bundle", n_channels=n_channels)
    destination = Destination.parse(tmp_path / output)
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
