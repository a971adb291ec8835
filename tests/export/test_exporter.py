"""What an export writes, measures, refuses and leaves alone."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from tests.bundles import make_bundle
from tests.exports import AFFINE, needs_nncf, needs_openvino, precision_report_of, write_scan
from tests.full_disk import disk_full_after
from unet_med._files import PARTIAL_PREFIX, sha256_file
from unet_med.backends.precision_report import export_problem
from unet_med.backends.torch_backend import build_network
from unet_med.bundle import open_bundle
from unet_med.bundle.weights import load_weights, save_weights
from unet_med.errors import InputError, MissingExtraError, OutputError
from unet_med.exporting import ExportSettings, export_bundle
from unet_med.exporting.folders import LEFTOVER_S, atomic_folder
from unet_med.exporting.samples import Scan
from unet_med.recipe import VerifiedPrecision
from unet_med.segmenter import load_segmenter

needs_openvino()


@pytest.fixture
def scan(tmp_path):
    return write_scan(tmp_path / "scans" / "scan.nii.gz", blank=3)


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "bundle")


def export(bundle, **settings):
    return export_bundle(open_bundle(bundle), ExportSettings(threads=1, **settings))


def leftovers(folder):
    return [path for path in folder.rglob("*") if PARTIAL_PREFIX in path.name]


@pytest.mark.parametrize("size", [600, 12_000])
def test_a_full_disk_is_said_and_leaves_the_earlier_export(bundle, size):
    export(bundle)
    weights = bundle / "models/model.pt"
    with disk_full_after(size), pytest.raises(OutputError, match=r"cannot write .*openvino"):
        export(bundle)
    assert not export_problem(weights)
    assert not leftovers(bundle)


def test_what_a_killed_run_left_is_removed_after_a_day(bundle):
    old, new, other = (
        bundle / "models" / f"{PARTIAL_PREFIX}{name}"
        for name in ("1.openvino", "2.openvino", "3.x")
    )
    for folder in (old, new, other):
        folder.mkdir()
        (folder / "model.bin").write_bytes(b"half")
    for folder in (old, other):
        long_ago = folder.stat().st_mtime - 2 * LEFTOVER_S
        os.utime(folder, (long_ago, long_ago))
    export(bundle)
    assert sorted(leftovers(bundle)) == sorted([new, other])


def test_the_export_is_measured_and_noted_in_recipe_and_precision_report(bundle, scan):
    reference = scan.parent.parent / "reference.nii.gz"
    load_segmenter(bundle, backend="torch", threads=1).segment(scan).save(reference)
    identity = open_bundle(bundle).sha256
    result = export(bundle, scans=(Scan((scan,), reference),), n_slices=8)

    found = {(entry.backend, entry.precision): entry for entry in result.precisions}
    fp32 = found["openvino", "fp32"]
    assert fp32.verified
    assert fp32.agreement > 0.9999
    assert fp32.max_logit_difference < 1e-4
    assert fp32.n_slices < 8, "constant slices were to be passed over"
    bf16 = found["torch", "bf16"]
    assert bf16.max_logit_difference > fp32.max_logit_difference
    # The references are fp32's own labels, so what is lost against them is the agreement.
    assert bf16.dice_change == pytest.approx(bf16.agreement - 1.0, abs=1e-12)

    opened = open_bundle(bundle)
    assert opened.recipe.precisions == result.precisions
    assert opened.sha256 == identity, "measuring made another bundle"
    _, report = precision_report_of(bundle)
    assert report["weights_sha256"] == sha256_file(opened.weights_path)
    for name, digest in report["files"].items():
        assert sha256_file(bundle / "models" / "openvino" / name) == digest
    per_label = {
        entry["backend"]: entry["agreement_per_label"] for entry in report["precisions"]
    }  # fmt: skip
    assert set(per_label["openvino"]) == {"one", "two"}
    assert not leftovers(bundle)


def test_the_figures_are_those_of_a_slow_loop(bundle, scan):
    """Logits and labels of whole scans by torch, slice by slice, with no code of the export."""
    result = export(bundle, scans=(Scan((scan,)),), n_slices=1000)
    (bf16,) = [entry for entry in result.precisions if entry.backend == "torch"]
    ways = [
        load_segmenter(bundle, backend="torch", precision=name, threads=1).segment(scan).labels
        for name in ("fp32", "bf16")
    ]
    used = np.ptp(nib.load(scan).get_fdata(), axis=(0, 1)) > 0
    fp32, other = (labels[..., used] for labels in ways)
    assert bf16.n_slices == used.sum()
    assert bf16.voxels_changed == pytest.approx((fp32 != other).mean(), abs=2 / fp32.size)
    both = [
        2 * ((fp32 == v) & (other == v)).sum() / ((fp32 == v).sum() + (other == v).sum())
        for v in (1, 2)
    ]
    assert bf16.agreement == pytest.approx(min(both), abs=1e-3)


def test_a_label_that_no_slice_held_is_named_and_leaves_all_unverified(bundle, scan):
    """The last channel of the network never wins."""
    opened = open_bundle(bundle)
    network = build_network(opened.recipe)
    load_weights(network, opened.weights_path)
    *_, bias = network.parameters()
    bias.data[2] -= 1e3
    digest = save_weights(network, opened.weights_path)
    replace(opened.recipe, weights_sha256=digest).save(bundle / "configs" / "recipe.json")
    result = export(bundle, scans=(Scan((scan,)),), n_slices=8)
    assert result.missing_labels == ("two",)
    assert [entry.verified for entry in result.precisions] == [False] * len(result.precisions)
    assert min(entry.agreement for entry in result.precisions) > 0.9


def test_without_scans_nothing_is_verified(bundle):
    recipe = open_bundle(bundle).recipe
    old = VerifiedPrecision("openvino", "int8", verified=True)
    replace(recipe, precisions=(old,)).save(bundle / "configs" / "recipe.json")
    assert export(bundle).precisions == ()
    assert open_bundle(bundle).recipe.precisions == (), "an old verdict outlived its model"


def test_int8_is_made_calibrated_and_smaller(bundle, scan):
    needs_nncf()
    big = make_bundle(bundle.parent / "big", sizes=(16, 32))
    result = export(big, calibration=(Scan((scan,)),), n_calibration=5, n_slices=4)
    sizes = {name: (big / name).stat().st_size for name in result.files if name.endswith("bin")}
    assert (
        2 * sizes["models/openvino/model_int8.bin"] < sizes["models/openvino/model.bin"]
    )  # fmt: skip
    _, report = precision_report_of(big)
    assert report["calibration"] == {"n_slices": 5, "scans": ["scan.nii.gz"]}
    assert {entry["precision"] for entry in report["precisions"]} >= {"fp32", "int8"}
    again = export(big)  # replaced as a whole
    assert not any("int8" in name for name in again.files)
    assert not (big / "models" / "openvino" / "model_int8.bin").exists()


def test_output_is_a_whole_bundle_and_leaves_the_source_alone(bundle, scan, tmp_path):
    (bundle / "LICENSE").write_text("terms")
    (bundle / "code.py").write_text("raise SystemExit")
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    target = tmp_path / "copies" / "copy"
    result = export(bundle, output=target, scans=(Scan((scan,)),), n_slices=2)
    assert result.root == target
    assert before == {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    assert (target / "LICENSE").read_text() == "terms"
    assert not (target / "code.py").exists()
    assert load_segmenter(target, threads=1).execution.backend == "openvino"
    assert open_bundle(target).sha256 == open_bundle(bundle).sha256
    assert not leftovers(target.parent)
    with pytest.raises(OutputError, match="not an empty folder"):
        export(bundle, output=target)


def test_an_installed_bundle_asks_for_output(bundle, tmp_path):
    installed = shutil.copytree(bundle, tmp_path / "site-packages" / "unet_med" / "_bundle")
    with pytest.raises(OutputError, match="--output"):
        export(installed)


def test_a_failed_export_leaves_the_old_one(bundle, monkeypatch):
    export(bundle)
    before = precision_report_of(bundle)[1]

    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("unet_med.exporting.exporter.save_openvino", fail)
    with pytest.raises(OutputError, match="No space left"):
        export(bundle)
    assert precision_report_of(bundle)[1] == before
    assert export_problem(bundle / "models" / "model.pt") == ""
    assert not leftovers(bundle)


@pytest.mark.parametrize("at", ["measure", "replace"])
def test_a_failed_export_leaves_the_verdicts_of_the_old_one(bundle, scan, monkeypatch, at):
    export(bundle, scans=(Scan((scan,)),), n_slices=2)
    before = (bundle / "configs/recipe.json").read_bytes()
    seen = []

    def fail(*_args, **_kwargs):
        seen.append(open_bundle(bundle).recipe.precisions)
        raise OSError(28, "No space left on device")

    place = {"measure": "exporter.compare_precisions", "replace": "folders._replace"}[at]
    monkeypatch.setattr(f"unet_med.exporting.{place}", fail)
    with pytest.raises(OutputError, match="No space left"):
        export(bundle, scans=(Scan((scan,)),), n_slices=2)
    assert (bundle / "configs/recipe.json").read_bytes() == before
    assert bool(seen[0]) == (at == "measure"), "a kill would leave verdicts beside other models"


def fill_and_fail(target):
    with atomic_folder(target) as partial:
        (partial / "file").write_text("half")
        raise RuntimeError


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "target"
    with pytest.raises(RuntimeError):
        fill_and_fail(target)
    assert list(tmp_path.iterdir()) == []
    for content in ("first", "second"):
        with atomic_folder(target) as partial:
            (partial / content).write_text(content)
            assert partial.parent == target.parent
    assert [path.name for path in target.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"formats": ("tensorrt",)}, "tensorrt"),
        ({"formats": ()}, "nothing"),
        ({"formats": ("onnx",), "calibration": (Scan(()),)}, "int8"),
        ({"n_slices": 0}, "at least 1"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(settings, text):
    with pytest.raises(InputError, match=text):
        ExportSettings(**settings)


def test_a_reference_on_another_grid_is_refused(bundle, scan, tmp_path):
    other = tmp_path / "other.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((21, 34, 12), np.uint8), AFFINE), other)
    with pytest.raises(InputError, match="another grid"):
        export(bundle, scans=(Scan((scan,), other),))


def test_a_blank_scan_is_refused(bundle, tmp_path):
    blank = tmp_path / "blank.nii.gz"
    nib.save(nib.Nifti1Image(np.full((9, 9, 4), 3, np.int16), AFFINE), blank)
    with pytest.raises(InputError):
        export(bundle, scans=(Scan((blank,)),))


@pytest.mark.filterwarnings("ignore")  # torch's exporter and onnxscript deprecate their parts
def test_onnx_runs_at_any_size_and_names_its_weights(bundle):
    onnxruntime = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    result = export(bundle, formats=("onnx",))
    assert result.files == ("models/model.onnx",)
    path = bundle / "models" / "model.onnx"
    opened = open_bundle(bundle)
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert metadata["weights_sha256"] == sha256_file(opened.weights_path)
    network = build_network(opened.recipe).eval()
    load_weights(network, opened.weights_path)
    session = onnxruntime.InferenceSession(path)
    for shape in [(1, 1, 1, 1), (3, 1, 37, 53), (2, 1, 64, 48)]:
        torch.manual_seed(0)
        slices = torch.randn(shape)
        (logits,) = session.run(None, {"slices": slices.numpy()})
        with torch.inference_mode():
            np.testing.assert_allclose(logits, network(slices).numpy(), rtol=0, atol=1e-4)


def test_onnx_without_the_extra_is_said(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"unet_med\[onnx\]"):
        export(bundle, formats=("onnx",))
    assert not (bundle / "models" / "model.onnx").exists()


def test_the_precision_report_is_json_that_others_can_read(bundle, scan):
    export(bundle, scans=(Scan((scan,)),), n_slices=2)
    path, content = precision_report_of(bundle)
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == content
    assert content["versions"]["torch"] == torch.__version__
