from __future__ import annotations

import hashlib
import json
import platform
from datetime import datetime

import nibabel as nib
import numpy as np
import pytest

import unet_med
from tests.batch_helpers import AFFINE, reference_labels, run_cases, write_bundle, write_scan
from unet_med.bundle import open_bundle
from unet_med.cli import main
from unet_med.volumes import open_volume, write_mask


def info(capsys, *arguments):
    assert main(["info", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def write_labels(tmp_path):
    scan = write_scan(tmp_path / "scan.nii.gz")
    mask = tmp_path / "mask.nii.gz"
    names = {1: "bright", 2: "brighter", 7: "nowhere"}
    write_mask(reference_labels(scan), mask, like=open_volume(scan), label_names=names)
    return scan, mask


def test_a_scan(tmp_path, capsys):
    scan = write_scan(tmp_path / "a.nii.gz", shape=(6, 5, 4, 3))
    content = info(capsys, scan)
    assert content["shape"] == [6, 5, 4]
    assert content["channels"] == 3
    assert content["spacing_mm"] == [1.0, 1.5, 3.0]
    assert content["stored_type"] == "int16"
    assert content["orientation"] == "".join(nib.aff2axcodes(AFFINE)) == "LAS"
    assert "labels" not in content


@pytest.mark.parametrize("turn", [(2, 0, 1), (1, 2, 0), (0, 2, 1)])
def test_orientation_letters_are_nibabels(tmp_path, capsys, turn):
    affine = AFFINE.copy()
    affine[:3, :3] = affine[:3, turn]
    content = info(capsys, write_scan(tmp_path / "a.nii", affine=affine))
    assert content["orientation"] == "".join(nib.aff2axcodes(affine))


def test_a_mask_names_and_measures_its_labels(tmp_path, capsys):
    scan, mask = write_labels(tmp_path)
    labels = info(capsys, mask)["labels"]
    counts = np.bincount(reference_labels(scan).ravel(), minlength=3)
    assert labels["1"] == {
        "name": "bright", "voxels": counts[1], "ml": pytest.approx(counts[1] * 4.5e-3, abs=5e-4)
    }  # fmt: skip
    assert labels["2"]["name"] == "brighter"
    assert labels["7"] == {"name": "nowhere", "voxels": 0, "ml": 0.0}
    assert "0" not in labels


def test_a_bundle(tmp_path, capsys):
    content = info(capsys, write_bundle(tmp_path / "bundle"))
    assert content["bundle"] == "thresholds"
    assert content["labels"] == {"1": "bright", "2": "brighter"}
    assert content["network"]["sizes"] == [2, 4]
    assert len(content["sha256"]) == 64


def test_plain_lines(tmp_path, capsys):
    _, mask = write_labels(tmp_path)
    assert main(["info", str(mask)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "shape: 6 5 4" in lines
    assert any(line.startswith("  1: name bright, voxels ") for line in lines)
    assert main(["info", str(write_bundle(tmp_path / "bundle"))]) == 0
    assert "labels: 1 bright, 2 brighter" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("name", ["none.nii", "text.txt", "text.nii.gz"])
def test_what_cannot_be_described(tmp_path, capsys, name):
    if name.startswith("text"):
        (tmp_path / name).write_text("no scan")
    assert main(["info", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


class TestVerify:
    def test_a_mask_of_this_program_is_verified(self, tmp_path, capsys):
        scan, mask = write_labels(tmp_path)
        assert main(["verify", str(scan), str(mask)]) == 0
        assert capsys.readouterr().out == f"verified: {mask} lies on {scan}\n"
        assert main(["verify", str(scan), str(mask), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"verified": True, "differences": []}

    def test_differences_are_listed(self, tmp_path, capsys):
        scan, _ = write_labels(tmp_path)
        moved = AFFINE.copy()
        moved[0, 3] += 2
        other = write_scan(tmp_path / "moved.nii.gz", affine=moved)
        assert main(["verify", str(scan), str(other)]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert any(line.startswith("grid: ") for line in lines)
        assert any(line.startswith("voxel type: ") for line in lines)
        assert main(["verify", str(scan), str(other), "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["differences"] == lines

    def test_what_cannot_be_read_is_2(self, tmp_path, capsys):
        scan, _ = write_labels(tmp_path)
        assert main(["verify", str(scan), str(tmp_path / "none.nii.gz")]) == 2
        assert "none.nii.gz" in capsys.readouterr().err


def test_a_mask_says_how_it_was_made(tmp_path, capsys):
    """The file itself and its sidecar, as far as they belong together."""
    scan = write_scan(tmp_path / "in/a.nii.gz")
    report = run_cases(tmp_path, command_line="unet-med segment in")
    mask = report.outcomes[0].mask
    content = info(capsys, mask)
    assert content["provenance"] == {
        "version": unet_med.__version__,
        "bundle": "thresholds",
        "bundle_sha256": open_bundle(tmp_path / "bundle").sha256,
        "backend": "torch",
        "precision": "fp32",
        "inputs": [hashlib.sha256(scan.read_bytes()).hexdigest()],
    }
    beside = content["sidecar"]
    assert beside["command_line"] == "unet-med segment in"
    assert beside["host"] == platform.node()
    assert beside["inputs"] == [{"path": str(scan), "sha256": content["provenance"]["inputs"][0]}]
    assert datetime.fromisoformat(beside["written"]).tzinfo is not None
    (header,) = nib.load(mask).header.extensions
    for kept_out in (str(scan), "unet-med segment", beside["written"][:10]):
        assert kept_out not in header.get_content().decode()
    mask.rename(mask.with_name("b.nii.gz"))
    assert info(capsys, mask.with_name("b.nii.gz"))["sidecar"] == {}


def test_equal_scans_give_equal_files_wherever_and_whenever(tmp_path):
    masks = []
    for place in ("here", "there/below"):
        write_scan(tmp_path / place / "in/a.nii.gz")
        (tmp_path / place / "bundle").mkdir()
        write_bundle(tmp_path / place / "bundle")
        masks.append(run_cases(tmp_path / place, command_line=place).outcomes[0].mask)
    assert masks[0].read_bytes() == masks[1].read_bytes()
