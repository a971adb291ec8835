"""The memory budget: what it limits, what it refuses, and that no label depends on it."""

from __future__ import annotations

import re
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from tests.batch_helpers import labels_of, write_scan
from tests.bundles import make_bundle
from tests.exports import make_export
from unet_med.cli import main
from unet_med.errors import InputError
from unet_med.geometry import Geometry
from unet_med.inference import SlicePipeline, fit_batch
from unet_med.preprocessing import Normalization
from unet_med.recipe import Channel, NetworkRecipe, Recipe
from unet_med.recipe.sliding_window import SlidingWindow
from unet_med.segmenter import load_segmenter

RECIPE = Recipe(
    name="r",
    network=NetworkRecipe(1, 4, (16, 32)),
    channels=(Channel("T1", "MR", Normalization("zscore", "all", -5.0, 5.0)),),
    labels={1: "a", 2: "b", 3: "c"},
)
GEOMETRY = Geometry((100, 120, 50), np.diag([1.0, 1.0, 3.0, 1.0]))


def batch_for(memory_gb, *, backend="openvino", recipe=RECIPE):
    pipeline = SlicePipeline.for_scan(recipe, GEOMETRY)
    return fit_batch(pipeline, recipe, backend=backend, memory_gb=memory_gb).batch_size


@pytest.mark.parametrize("window", [SlidingWindow(), SlidingWindow((48, 64), max_pixels=4000)])
def test_a_budget_limits_the_batch_and_never_raises_it(window):
    recipe = replace(RECIPE, window=window)
    usual = SlicePipeline.for_scan(recipe, GEOMETRY).batch_size
    assert usual > 5
    found = [batch_for(gb, recipe=recipe) for gb in (0.015, 0.03, 0.06, 0.1, 1.0, 100.0)]
    assert found == sorted(found)
    assert found[0] < usual
    assert found[-1] == usual == batch_for(None, recipe=recipe)


def test_torch_keeps_its_batch():
    usual = SlicePipeline.for_scan(RECIPE, GEOMETRY).batch_size
    assert batch_for(1.0, backend="torch") == usual
    with pytest.raises(InputError, match="too small"):
        batch_for(0.015, backend="torch")


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_a_budget_too_small_for_the_smallest_batch_says_what_is_needed(backend):
    with pytest.raises(InputError, match="too small") as caught:
        batch_for(0.001, backend=backend)
    text = str(caught.value)
    assert "\n" not in text
    needed = float(re.search(r"--memory-gb ([0-9.]+) or more", text)[1])
    assert batch_for(needed, backend=backend) >= 1


def test_without_a_budget_one_slice_is_always_run():
    huge = replace(RECIPE, network=NetworkRecipe(1, 4, (1 << 12, 1 << 13)))
    assert batch_for(None, recipe=huge) == 1


@pytest.mark.parametrize("memory_gb", [0.0, -1.0, float("nan"), float("inf"), "2"])
def test_budgets_that_are_no_amount_are_refused(memory_gb):
    with pytest.raises(InputError, match="above 0"):
        load_segmenter(memory_gb=memory_gb)


def test_on_the_command_line(tmp_path, capsys):
    make_bundle(tmp_path / "bundle")
    write_scan(tmp_path / "in" / "a.nii.gz", shape=(21, 18, 5))
    words = ["segment", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--threads", "1"]
    words += ["--bundle", str(tmp_path / "bundle"), "--device", "cpu", "--memory-gb"]
    assert main([*words, "0"]) == 2
    assert main([*words, "1e-5"]) == 1
    assert "FAILED: a budget of 1e-05 GB is too small" in capsys.readouterr().err
    assert not (tmp_path / "out" / "a.nii.gz").exists()
    assert main([*words, "2"]) == 0
    assert main([*words, "1"]) == 0  # no part of what determines the voxels
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 up to date")
    assert len(np.unique(labels_of(tmp_path / "out" / "a.nii.gz"))) > 1


def test_labels_do_not_depend_on_the_budget(tmp_path):
    pytest.importorskip("openvino")
    scan = tmp_path / "scan.nii.gz"
    voxels = np.random.default_rng(0).integers(0, 900, (40, 36, 9)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([1, 1, 3, 1])), scan)
    bundle = make_export(tmp_path / "bundle", scan)
    masks = []
    for memory_gb in (0.01, 1.0):
        target = tmp_path / f"{memory_gb}.nii.gz"
        segmenter = load_segmenter(bundle, backend="openvino", threads=1, memory_gb=memory_gb)
        segmenter.segment_to(scan, target)
        masks.append(target.read_bytes())
    assert masks[0] == masks[1]
