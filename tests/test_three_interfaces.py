"""Bundle run, Python and command line write the same mask files at equal settings."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import unet_med
from tests.bundles import make_bundle
from tests.monai.scans import OBLIQUE, write_scan
from unet_med._files import sha256_file
from unet_med.cli import main
from unet_med.preprocessing import Context
from unet_med.recipe import PostprocessingRule
from unet_med.recipe.sliding_window import SlidingWindow
from unet_med.volumes import verify_mask
from unet_med.volumes.mask_header import read_mask_metadata

ROOT = Path(__file__).parents[1]
SAGITTAL_SLICES = OBLIQUE[:, [2, 0, 1, 3]]  # the thick axis first in the file
RECIPES = {
    "plain": {"labels": {1: "one", 300: "rare"}, "slice_axis": "thickest"},
    "all steps": {
        "n_channels": 2,
        "context": Context(3, 3.5),
        "in_plane_spacing_mm": 1.4,
        "slice_axis": "coronal",
        "window": SlidingWindow(size=(16, 16), max_pixels=300),
    },
    "ensemble": {
        "members": [{"seed": 5, "in_plane_spacing_mm": 1.4, "context": Context(3, 3.5)}],
        "labels": {1: "one", 300: "rare"},
        "slice_axis": "coronal",
        "tta": ("left-right", "inferior-superior"),
        "postprocessing": {
            "one": PostprocessingRule(0.5, fill_holes=True),
            "300": PostprocessingRule(largest_component=True, connectivity="faces"),
        },
    },
}


def write_cases(folder, n_channels):
    """Write two cases, one in a sub-folder, and return each with its first file."""
    cases = {"a": ((19, 24, 6), OBLIQUE), "ward 3/b": ((5, 21, 26), SAGITTAL_SLICES)}
    first = {}
    for number, (case, (shape, affine)) in enumerate(cases.items()):
        names = [case] if n_channels == 1 else [f"{case}_{n:04d}" for n in range(n_channels)]
        paths = [
            write_scan(folder / f"{name}.nii.gz", shape=shape, seed=10 * number + n, affine=affine)
            for n, name in enumerate(names)
        ]
        first[case] = paths
    return first


def run_bundle(bundle, *arguments, cwd):
    """Run the inference config as MONAI's command does, in a process of its own."""
    config = Path("configs/inference.yaml") if cwd == bundle else bundle / "configs/inference.yaml"
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(config)]
    done = subprocess.run(
        [*command, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def make_bundles(root, settings):
    """Write a bundle with its configs, and a second one if an ensemble is wanted."""
    members = settings.pop("members", ())
    bundle = make_bundle(root / "bundle", **settings)
    for file in ("inference.yaml", "metadata.json", "logging.conf"):
        shutil.copy(ROOT / "configs" / file, bundle / "configs" / file)
    others = [make_bundle(root / "other", **{**settings, **other}) for other in members]
    return [bundle, *others]


def _named(*bundles):
    return [word for bundle in bundles for word in ("--bundle", bundle)]


@pytest.mark.parametrize("name", RECIPES)
def test_three_interfaces_write_equal_files(tmp_path, name):
    settings = dict(RECIPES[name])
    n_channels = settings.get("n_channels", 1)
    bundle, *others = make_bundles(tmp_path, settings)
    scans = tmp_path / "scans"
    cases = write_cases(scans, n_channels)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    from_root = name == "plain"
    place = () if from_root else ("--bundle_root", bundle)
    options = ("--dataset_dir", scans, "--output_dir", tmp_path / "monai", "--threads", "1")
    ensemble = ("--ensemble", str([str(other) for other in others]))
    run_bundle(bundle, *place, *options, *ensemble, cwd=bundle if from_root else elsewhere)

    segmenter = unet_med.load([bundle, *others], threads=1)
    for case, paths in cases.items():
        segmentation = segmenter.segment(paths[0] if n_channels == 1 else paths)
        segmentation.save(tmp_path / "python" / f"{case}.nii.gz")

    command = ["segment", scans, "--output", tmp_path / "cli", *_named(bundle, *others)]
    assert main([*map(str, command), "--threads", "1", "--json"]) == 0

    for case, paths in cases.items():
        masks = [
            tmp_path / interface / f"{case}.nii.gz" for interface in ("monai", "python", "cli")
        ]
        decoded = [np.asarray(nib.load(mask).dataobj) for mask in masks]
        assert len(np.unique(decoded[0])) > 1, "the test network gives one label only"
        for other in decoded[1:]:
            np.testing.assert_array_equal(decoded[0], other)
        contents = [gzip.decompress(mask.read_bytes()) for mask in masks]
        assert contents[0] == contents[1] == contents[2]  # header, extension and voxels
        if "postprocessing" in settings:
            changed = json.loads((tmp_path / "cli" / f"{case}.json").read_text())["postprocessing"]
            assert sum(changed["removed_voxels"].values()) > 0
        carried = read_mask_metadata(masks[0])["provenance"]
        assert carried["inputs"] == [sha256_file(path) for path in paths]
        assert (carried["backend"], carried["precision"]) == ("torch", "fp32")
        assert all(verify_mask(paths[0], mask) == [] for mask in masks)
