from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Orientationd

import unet_med
from tests.monai.scans import in_lps
from unet_med.errors import LabelError
from unet_med.evaluation import evaluate_cohort
from unet_med.metrics import EmptyPolicy
from unet_med.monai.handlers import SliceMetricsSaver

OBLIQUE = np.array([[-1.9, 0.3, 0, 40], [0.3, 1.9, 0.1, -50], [0, -0.1, 4, -20], [0, 0, 0, 1.0]])


class Echo(torch.nn.Module):
    """The "image" is the prediction already, so that both interfaces see the same masks."""

    def forward(self, x):
        return x


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for index, case in enumerate(("a", "site/a", "site/b")):
        shape = (6, 7, 5 + index)
        for side in "pr":
            path = tmp_path / side / f"{case}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            mask = rng.integers(0, 4, shape, dtype=np.uint8)
            mask[..., 0] = 0
            nib.save(nib.Nifti1Image(mask, OBLIQUE), path)
    return tmp_path


def run_engine(folder, handler, *transforms, decollate=True):
    files = sorted((folder / "r").rglob("*.nii.gz"))
    cases = [
        {"image": folder / "p" / path.relative_to(folder / "r"), "label": path} for path in files
    ]
    keys = ["image", "label"]
    load = Compose([LoadImaged(keys), EnsureChannelFirstd(keys), *transforms])
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(cases, load), batch_size=1),
        network=Echo(),
        decollate=decollate,
        val_handlers=[handler],
    ).run()


@pytest.mark.parametrize("decollate", [True, False])
@pytest.mark.parametrize("empty", list(EmptyPolicy))
def test_the_files_are_those_of_evaluate_byte_for_byte(folder, empty, decollate):
    settings = {"slice_axis": "axial", "empty": str(empty), "label_names": {"1": "csf"}}
    handler = SliceMetricsSaver(folder / "engine", data_root_dir=folder / "r", settings=settings)
    run_engine(folder, handler, decollate=decollate)
    cohort = evaluate_cohort(
        folder / "p",
        folder / "r",
        output=folder / "cli",
        slice_axis="axial",
        empty=empty,
        label_names={1: "csf"},
    )
    assert len(cohort.scored) == 3
    for name in ("slices.csv", "cases.csv", "summary.json"):
        assert (folder / "engine" / name).read_bytes() == (folder / "cli" / name).read_bytes()


def test_affines_in_lps_give_the_same_positions(folder):
    def lps(data):
        return {key: in_lps(image) for key, image in data.items()}

    for name, transforms in {"ras": (), "lps": (lps,)}.items():
        settings = {"slice_axis": "sagittal"}
        handler = SliceMetricsSaver(folder / name, data_root_dir=folder / "r", settings=settings)
        run_engine(folder, handler, *transforms)
    for name in ("slices.csv", "cases.csv"):
        assert (folder / "lps" / name).read_bytes() == (folder / "ras" / name).read_bytes()


def cases_in(page):
    """Return what a report holds of each case, by id."""
    parts = page.read_text(encoding="utf-8").split('<script type="application/json" id="')[1:]
    found = {}
    for part in parts:
        name, _, rest = part.partition('">')
        found[name] = json.loads(rest[: rest.index("</script>")])
    cases = found["report"]["cases"]
    return {one["id"]: found[f"case-{number}"] for number, one in enumerate(cases)}


def test_the_report_is_that_of_evaluate(folder):
    handler = SliceMetricsSaver(
        folder / "engine",
        data_root_dir=folder / "r",
        settings={"slice_axis": "axial"},
        image_key="image",
    )
    run_engine(folder, handler)
    unet_med.evaluate(
        folder / "p",
        folder / "r",
        output=folder / "cli",
        images=folder / "p",
        slice_axis="axial",
    )
    ours = cases_in(folder / "engine" / "report.html")
    theirs = cases_in(folder / "cli" / "report.html")
    assert sorted(ours) == ["a", "site/a", "site/b"]
    for case, content in ours.items():
        for part in ("grid", "codes", "masks", "image", "curves", "worst", "volume_values"):
            assert content[part] == theirs[case][part], (case, part)
    run_engine(folder, handler)  # a second epoch begins anew
    assert cases_in(folder / "engine" / "report.html") == ours


def test_two_cases_of_one_name_are_told_apart_by_their_folder_or_fail(folder):
    handler = SliceMetricsSaver(folder / "engine")
    run_engine(folder, handler)
    summary = json.loads((folder / "engine" / "summary.json").read_text())
    assert summary["cases"]["scored"] == ["b"]
    assert "set data_root_dir to the folder above both" in summary["cases"]["failed"][0]["error"]


def test_a_reoriented_reference_fails_instead_of_miscounting_slices(folder):
    handler = SliceMetricsSaver(folder / "engine", data_root_dir=folder / "r")
    run_engine(folder, handler, Orientationd(["image", "label"], axcodes="RAS", labels=None))
    summary = json.loads((folder / "engine" / "summary.json").read_text())
    assert len(summary["cases"]["failed"]) == 3
    assert "no longer on its file's grid" in summary["cases"]["failed"][0]["error"]


def test_a_bad_case_does_not_stop_the_run(folder):
    scores = np.random.default_rng(0).random((6, 7, 5)).astype(np.float32)
    nib.save(nib.Nifti1Image(scores, OBLIQUE), folder / "p" / "a.nii.gz")
    run_engine(folder, SliceMetricsSaver(folder / "engine", data_root_dir=folder / "r"))
    summary = json.loads((folder / "engine" / "summary.json").read_text())
    assert summary["cases"]["scored"] == ["site/a", "site/b"]
    assert "no label" in summary["cases"]["failed"][0]["error"]


def test_a_second_run_starts_anew(folder):
    handler = SliceMetricsSaver(folder / "engine", data_root_dir=folder / "r")
    run_engine(folder, handler)
    (folder / "r" / "a.nii.gz").unlink()
    run_engine(folder, handler)
    summary = json.loads((folder / "engine" / "summary.json").read_text())
    assert summary["cases"]["scored"] == ["site/a", "site/b"]


def test_a_config_can_name_it(tmp_path):
    config = {
        "handler": {
            "_target_": "unet_med.monai.SliceMetricsSaver",
            "output_dir": str(tmp_path),
            "settings": {"empty": "one", "labels": [1, 2], "label_names": {"1": "csf"}},
        }
    }
    handler = ConfigParser(config).get_parsed_content("handler")
    assert handler.settings.empty is EmptyPolicy.ONE
    assert handler.settings.labels == (1, 2)
    assert handler.settings.label_names == {1: "csf"}


def test_wrong_settings_are_refused_at_once(tmp_path):
    with pytest.raises(LabelError, match="distinct"):
        SliceMetricsSaver(tmp_path, settings={"labels": [1, 1]})
    with pytest.raises(TypeError, match="axis"):
        SliceMetricsSaver(tmp_path, settings={"axis": "axial"})


@pytest.mark.slow
def test_two_processes_write_what_one_writes(folder):
    script = Path(__file__).with_name("distributed_metrics.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    paths = [str(folder / name) for name in ("p", "r", "two")]
    root = str(Path(unet_med.__file__).parents[1])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    subprocess.run([*command, str(script), *paths], check=True, timeout=120, env=environment)
    evaluate_cohort(folder / "p", folder / "r", output=folder / "one")
    for name in ("slices.csv", "cases.csv", "summary.json"):
        assert (folder / "two" / name).read_bytes() == (folder / "one" / name).read_bytes()
    assert sorted(cases_in(folder / "two" / "report.html")) == ["a", "site/a", "site/b"]
    metric = torch.load(folder / "two" / "metric.pt", weights_only=True)
    assert metric.shape == (4, 4)  # three cases, one of them repeated to fill the last share
    assert metric.isfinite().all()
