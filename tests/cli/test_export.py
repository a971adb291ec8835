from __future__ import annotations

import json

import numpy as np
import pytest

from tests.bundles import make_bundle
from tests.exports import needs_openvino, write_scan
from unet_med.api.bundles import find_scans
from unet_med.bundle import open_bundle
from unet_med.cli import main
from unet_med.segmenter import load_segmenter

needs_openvino()


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "bundle")


def export(bundle, *options):
    return main(["export", "--bundle", str(bundle), "--threads", "1", *map(str, options)])


def test_export_prints_the_precision_report_and_auto_then_takes_openvino(bundle, tmp_path, capsys):
    scan = write_scan(tmp_path / "scans" / "a.nii.gz")
    write_scan(tmp_path / "scans" / "sub" / "b.nii.gz", seed=1)
    load_segmenter(bundle, backend="torch", threads=1).segment(scan).save(
        tmp_path / "masks" / "a.nii.gz"
    )
    options = ("--scans", scan.parent, "--references", tmp_path / "masks", "--slices", 6)
    assert export(bundle, *options) == 0
    out, err = capsys.readouterr()
    assert "models/openvino/model.xml" in out
    assert "compared with torch in fp32 on 6 slices" in out
    (row,) = [line.split() for line in out.splitlines() if line.split()[:2] == ["openvino", "fp32"]]
    assert row[2] == "yes"
    assert "converting" in err
    assert load_segmenter(bundle, threads=1).execution.backend == "openvino"
    assert main(["info", str(bundle)]) == 0
    assert "agreement" in capsys.readouterr().out


def test_references_are_found_in_folders_and_for_first_channels(tmp_path):
    source = tmp_path / "scans"
    for name in ("a_0000.nii.gz", "sub/b.nii.gz", "c.nii.gz"):
        write_scan(source / name)
    masks = tmp_path / "masks"
    for name in ("a.nii.gz", "sub/b.nii.gz", "b.nii.gz"):
        write_scan(masks / name)
    found = {
        scan.paths[0].relative_to(source).as_posix(): scan.reference
        for scan in find_scans(open_bundle(make_bundle(tmp_path / "bundle")), source, masks)
    }
    assert found == {
        "a_0000.nii.gz": masks / "a.nii.gz",
        "sub/b.nii.gz": masks / "sub/b.nii.gz",
        "c.nii.gz": None,
    }


def test_json_is_json_alone(bundle, tmp_path, capsys):
    scan = write_scan(tmp_path / "a.nii.gz")
    assert export(bundle, "--scans", scan, "--slices", 2, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["files"] == ["models/openvino/model.bin", "models/openvino/model.xml"]
    recipe = json.loads((bundle / "configs" / "recipe.json").read_text())
    assert content["precisions"] == recipe["precisions"]


def test_the_demo_scan_of_the_bundle_is_the_default(bundle, capsys):
    demo = bundle / "sample_data" / "demo"
    scan = write_scan(demo / "images" / "head.nii.gz")
    segmentation = load_segmenter(bundle, backend="torch", threads=1).segment(scan)
    segmentation.save(demo / "labels" / "head.nii.gz")
    assert export(bundle, "--slices", 3) == 0
    precisions = open_bundle(bundle).recipe.precisions
    assert all(entry.dice_change is not None for entry in precisions)
    assert "3 slices" in capsys.readouterr().out


def test_without_any_scan_it_says_so(bundle, capsys):
    assert export(bundle) == 0
    assert "--scans" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--formats", "tensorrt"), "tensorrt"),
        (("--int8", "nowhere"), "nowhere"),
        (("--slices", "0"), "at least 1"),
    ],
)
def test_what_cannot_be_done_is_one_line(bundle, options, text, capsys):
    assert export(bundle, *options) == 2
    err = capsys.readouterr().err.strip()
    assert text in err
    assert len(err.splitlines()) == 1
    assert not (bundle / "models" / "openvino").exists()


def test_references_that_fit_no_scan_are_said(bundle, tmp_path, capsys):
    scan = write_scan(tmp_path / "scans" / "a.nii.gz")
    labels = load_segmenter(bundle, backend="torch", threads=1).segment(scan)
    assert np.any(labels.labels)
    labels.save(tmp_path / "masks" / "other.nii.gz")
    assert export(bundle, "--scans", scan.parent, "--references", tmp_path / "masks") == 2
    assert "has the name of a scan" in capsys.readouterr().err
