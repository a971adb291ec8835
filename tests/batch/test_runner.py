from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath

import nibabel as nib
import numpy as np
import pytest

from tests.batch_helpers import (
    files,
    labels_of,
    ledger_lines,
    make_segmenter,
    reference_labels,
    run_cases,
    statuses,
    write_bundle,
    write_scan,
)
from tests.volumes.dicom_builders import noise, orthonormal, write_series
from unet_med.batch import BatchSettings, Destination, find_cases, run_batch, split_frames
from unet_med.cases import Case
from unet_med.errors import InputError
from unet_med.segmenter import Segmenter
from unet_med.volumes import Limits, ReadOptions, SeriesSelection, verify_mask

GARBAGE = b"this is no scan"


def test_masks_sidecars_and_ledger_of_a_folder(tmp_path):
    scans = [write_scan(tmp_path / "in" / n) for n in ("b.nii", "sub/a.nii.gz")]
    report = run_cases(tmp_path, command_line="unet-med segment in")
    assert report.exit_code == 0
    assert statuses(report) == {"b": "done", "sub/a": "done"}
    assert files(tmp_path / "out") == [
        "b.json", "b.nii.gz", "ledger.jsonl", "sub/a.json", "sub/a.nii.gz"
    ]  # fmt: skip
    for scan, name in zip(scans, ("b", "sub/a"), strict=True):
        mask = tmp_path / "out" / f"{name}.nii.gz"
        np.testing.assert_array_equal(labels_of(mask), reference_labels(scan))
        assert verify_mask(scan, mask) == []


def test_the_sidecar_says_where_the_mask_comes_from(tmp_path):
    scan = write_scan(tmp_path / "in" / "a.nii.gz")
    run_cases(tmp_path, command_line="unet-med segment in")
    mask = tmp_path / "out" / "a.nii.gz"
    sidecar = json.loads((tmp_path / "out" / "a.json").read_text())
    assert sidecar["inputs"] == [
        {"path": str(scan), "sha256": hashlib.sha256(scan.read_bytes()).hexdigest()}
    ]
    assert sidecar["mask"]["sha256"] == hashlib.sha256(mask.read_bytes()).hexdigest()
    assert sidecar["bundle"]["name"] == "thresholds"
    assert sidecar["execution"]["threads"] == 1
    assert sidecar["command_line"] == "unet-med segment in"
    assert sidecar["geometry"] == {"shape": [6, 5, 4], "spacing_mm": [1.0, 1.5, 3.0]}
    assert sidecar["label_names"] == {"1": "bright", "2": "brighter"}
    expected = np.count_nonzero(reference_labels(scan) == 2) * 1.0 * 1.5 * 3.0 / 1000
    assert sidecar["volumes_ml"]["brighter"] == pytest.approx(expected)
    quality = sidecar["quality"]
    assert (quality["nonfinite_voxels"], quality["warnings"], quality["slice_axis"]) == (0, [], 2)
    areas = (reference_labels(scan) == 2).sum(axis=(0, 1)) * 1.0 * 1.5
    assert quality["slices"]["labels"]["2"]["area_mm2"] == areas.tolist()
    assert quality["slices"]["position_mm"] == [2.0, 5.0, 8.0, 11.0]
    assert quality["review"], "noise is no organ"
    assert all(
        doubt["reasons"] and doubt["score"] < quality["review_below"] for doubt in quality["review"]
    )
    assert {"digest", "statistics", "read", "network", "write"} <= set(sidecar["seconds"])
    last = ledger_lines(tmp_path)[-1]
    assert last["status"] == "done"
    assert last["mask_sha256"] == sidecar["mask"]["sha256"]
    assert last["fingerprint"] == sidecar["fingerprint"]


def test_nonfinite_voxels_are_counted_and_warned_of(tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    values[0, 0, :2] = np.nan, np.inf
    (tmp_path / "in").mkdir()
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "in" / "a.nii")
    (outcome,) = run_cases(tmp_path).outcomes
    sidecar = json.loads((tmp_path / "out" / "a.json").read_text())
    assert sidecar["quality"]["nonfinite_voxels"] == 2
    assert "NaN" in outcome.warnings[0]


def test_bad_files_fail_alone_and_leave_nothing_behind(tmp_path):
    good = write_scan(tmp_path / "in" / "good.nii.gz")
    (tmp_path / "in" / "text.nii").write_bytes(GARBAGE)
    (tmp_path / "in" / "empty.nii.gz").write_bytes(b"")
    (tmp_path / "in" / "cut.nii.gz").write_bytes(good.read_bytes()[:-30])
    (tmp_path / "in" / "gone.nii.gz").symlink_to(tmp_path / "nowhere")
    write_scan(tmp_path / "in" / "4d.nii.gz", shape=(5, 4, 3, 2))
    nib.save(nib.Nifti1Image(np.full((4, 3, 2), 7, np.uint8), np.eye(4)), tmp_path / "in/flat.nii")
    report = run_cases(tmp_path)
    assert report.exit_code == 1
    ends = statuses(report)
    assert ends.pop("good") == "done"
    assert set(ends.values()) == {"failed"}
    assert len(ends) == 6
    assert files(tmp_path / "out") == ["good.json", "good.nii.gz", "ledger.jsonl"]
    errors = {line["case"]: line["error"] for line in ledger_lines(tmp_path) if "error" in line}
    assert errors.keys() == ends.keys()
    for outcome in report.outcomes:
        if outcome.error:
            assert "\n" not in outcome.error
            assert "unexpected" not in outcome.error
    assert "channel" in errors["4d"]


def test_what_nobody_expects_is_one_failed_case_too(tmp_path, monkeypatch):
    write_scan(tmp_path / "in" / "a.nii.gz")
    write_scan(tmp_path / "in" / "b.nii.gz")
    really_open = Segmenter.open

    def open_all_but_a(self, source, **options):
        if Path(source).name == "a.nii.gz":
            msg = "two\nlines"
            raise ZeroDivisionError(msg)
        return really_open(self, source, **options)

    monkeypatch.setattr(Segmenter, "open", open_all_but_a)
    report = run_cases(tmp_path)
    assert statuses(report) == {"a": "failed", "b": "done"}
    assert report.outcomes[0].error == (
        "ZeroDivisionError: two lines (unexpected; --debug shows where)"
    )


class TestFrames:
    def test_one_mask_per_frame(self, tmp_path):
        scan = write_scan(tmp_path / "in" / "a.nii.gz", shape=(6, 5, 4, 3))
        plain = write_scan(tmp_path / "in" / "b.nii.gz")
        (tmp_path / "in" / "c.nii").write_bytes(GARBAGE)
        report = run_cases(tmp_path, frames=True)
        assert statuses(report) == {
            "a_frame0000": "done",
            "a_frame0001": "done",
            "a_frame0002": "done",
            "b": "done",
            "c": "failed",
        }
        for frame in range(3):
            mask = labels_of(tmp_path / "out" / f"a_frame{frame:04d}.nii.gz")
            np.testing.assert_array_equal(mask, reference_labels(scan, frame))
        np.testing.assert_array_equal(labels_of(tmp_path / "out/b.nii.gz"), reference_labels(plain))

    def test_frames_are_read_by_the_rules_of_the_run(self, tmp_path):
        exam = tmp_path / "exam"
        exam.mkdir()
        for number in (1, 2):
            fields = {"uid": f"1.2.826.{number}", "SeriesNumber": number}
            for path in write_series(tmp_path / str(number), noise(), orthonormal(), **fields):
                path.rename(exam / f"{number}{path.name}")
        case = Case("exam", PurePosixPath(), (exam,))
        rules = ReadOptions(series=SeriesSelection("2"))
        assert split_frames([case], rules) == (case,)
        (refused,) = split_frames([case], ReadOptions(Limits(max_voxels=9), rules.series))
        assert "the limit is 9" in refused.problem

    def test_one_channel_can_be_chosen_and_is_part_of_the_work(self, tmp_path):
        scan = write_scan(tmp_path / "in" / "a.nii.gz", shape=(6, 5, 4, 3))
        for channel in (2, 0):
            assert statuses(run_cases(tmp_path, channel=channel)) == {"a": "done"}
            mask = labels_of(tmp_path / "out" / "a.nii.gz")
            np.testing.assert_array_equal(mask, reference_labels(scan, channel))
        assert statuses(run_cases(tmp_path, channel=3)) == {"a": "failed"}

    def test_frames_that_meet_another_input_are_refused(self, tmp_path):
        write_scan(tmp_path / "in" / "a.nii.gz", shape=(6, 5, 4, 2))
        write_scan(tmp_path / "in" / "a_frame0001.nii.gz")
        with pytest.raises(InputError, match="two cases would be written"):
            run_cases(tmp_path, frames=True)

    def test_settings_that_contradict_are_refused(self, tmp_path):
        write_scan(tmp_path / "in" / "a.nii.gz")
        with pytest.raises(InputError, match="only one of them"):
            run_cases(tmp_path, frames=True, channel=0)
        with pytest.raises(InputError, match="counted from 0"):
            run_cases(tmp_path, channel=-1)
        with pytest.raises(InputError, match="this one takes 2"):
            run_batch(
                find_cases([tmp_path / "in"], n_channels=1, output=None),
                Destination(tmp_path / "out"),
                segmenter=make_segmenter(write_bundle(tmp_path / "two", n_channels=2)),
                settings=BatchSettings(channel=0),
            )


class TestSeveralChannels:
    def test_by_suffix_with_one_case_incomplete(self, tmp_path):
        for name in ("p_0000", "p_0001", "q_0000"):
            write_scan(tmp_path / "in" / f"{name}.nii.gz")
        report = run_cases(tmp_path, n_channels=2)
        assert statuses(report) == {"p": "done", "q": "failed"}
        first = reference_labels(tmp_path / "in" / "p_0000.nii.gz")
        np.testing.assert_array_equal(labels_of(tmp_path / "out/p.nii.gz"), first)
        sidecar = json.loads((tmp_path / "out" / "p.json").read_text())
        assert len(sidecar["inputs"]) == 2

    def test_by_4d_file(self, tmp_path):
        scan = write_scan(tmp_path / "in" / "a.nii.gz", shape=(6, 5, 4, 2))
        write_scan(tmp_path / "in" / "b.nii.gz", shape=(6, 5, 4, 3))
        report = run_cases(tmp_path, n_channels=2)
        assert statuses(report) == {"a": "done", "b": "failed"}
        mask = labels_of(tmp_path / "out" / "a.nii.gz")
        np.testing.assert_array_equal(mask, reference_labels(scan, frame=0))

    def test_channels_on_other_grids_fail(self, tmp_path):
        write_scan(tmp_path / "in" / "p_0000.nii.gz")
        write_scan(tmp_path / "in" / "p_0001.nii.gz", shape=(6, 5, 3))
        assert statuses(run_cases(tmp_path, n_channels=2)) == {"p": "failed"}


def test_a_header_file_with_other_voxels_is_other_work(tmp_path):
    (tmp_path / "in").mkdir()
    values = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
    for n, expected in enumerate(("done", "done", "skipped")):
        pair = nib.Nifti1Pair(np.roll(values, min(n, 1)), np.eye(4))
        nib.save(pair, tmp_path / "in" / "a.hdr")
        assert statuses(run_cases(tmp_path)) == {"a": expected}
