from __future__ import annotations

import numpy as np
import pytest

import unet_med
from tests.batch_helpers import labels_of, write_scan
from tests.bundles import make_bundle
from unet_med.errors import BundleError, InputError


def test_the_names_of_the_package_resolve():
    assert set(unet_med.__all__) <= set(dir(unet_med))
    for name in unet_med.__all__:
        assert getattr(unet_med, name) is not None
    for name in unet_med.api.__all__:
        assert getattr(unet_med.api, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'paint'"):
        _ = unet_med.paint


def test_load_and_segment_give_the_same_voxels(tmp_path):
    bundle = make_bundle(tmp_path / "bundle")
    scan = write_scan(tmp_path / "in" / "a.nii.gz", shape=(20, 17, 6))
    segmentation = unet_med.load(bundle, threads=1, device="cpu").segment(scan)
    assert isinstance(segmentation, unet_med.Segmentation)
    report = unet_med.segment(
        tmp_path / "in", tmp_path / "out", bundle=bundle, threads=1, device="cpu"
    )
    assert report.exit_code == 0
    np.testing.assert_array_equal(labels_of(tmp_path / "out" / "a.nii.gz"), segmentation.labels)
    again = unet_med.segment([str(scan)], str(tmp_path / "out"), bundle=str(bundle), threads=1)
    assert again.summary().startswith("1 up to date; ledger ")


def test_evaluate_reads_what_segment_wrote(tmp_path):
    bundle = make_bundle(tmp_path / "bundle")
    scan = write_scan(tmp_path / "a.nii.gz", shape=(20, 17, 6))
    unet_med.segment(scan, tmp_path / "out", bundle=bundle, threads=1)
    scores = unet_med.evaluate(
        str(tmp_path / "out"), tmp_path / "out", output=str(tmp_path / "s"), label_names={1: "one"}
    )
    assert (tmp_path / "s" / "slices.csv").is_file()
    assert scores.exit_code == 0
    dice = {row["dice"] for row in scores.slices}
    assert dice <= {1.0, None}
    assert 1.0 in dice


def test_wrong_calls_are_errors(tmp_path):
    scan = write_scan(tmp_path / "a.nii.gz")
    with pytest.raises(TypeError, match="color"):
        unet_med.segment(scan, tmp_path / "out", color="red")
    with pytest.raises(InputError, match="use one of all, counts"):
        unet_med.evaluate(scan, scan, metrics="fast")
    with pytest.raises(BundleError):
        unet_med.segment(scan, tmp_path / "out", bundle=tmp_path / "none")
    with pytest.raises(InputError, match="does not exist"):
        unet_med.segment(tmp_path / "b.nii", tmp_path / "out", bundle=make_bundle(tmp_path / "x"))
    assert not (tmp_path / "out").exists()
