"""Digests of scans, and scans that change under the reader's hands."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from tests.batch_helpers import Thresholds, make_segmenter, run_cases, statuses, write_scan
from unet_med.errors import InputError
from unet_med.volumes import InputFiles, digest_inputs


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_and_a_pair(tmp_path):
    one = write_scan(tmp_path / "a.nii.gz")
    assert InputFiles.digest([one]).sha256 == (sha256(one),)
    nib.save(nib.Nifti1Pair(np.ones((2, 3, 4), np.uint8), np.eye(4)), tmp_path / "b.img")
    halves = [tmp_path / "b.hdr", tmp_path / "b.img"]
    both = hashlib.sha256("".join(map(sha256, halves)).encode()).hexdigest()
    assert InputFiles.digest([halves[0], one]).sha256 == (both, sha256(one))


def test_what_is_in_memory_has_no_files(tmp_path):
    path = write_scan(tmp_path / "a.nii.gz")
    assert digest_inputs(nib.load(path)) is None
    assert digest_inputs((np.zeros((2, 3, 4)), np.eye(4))) is None
    assert digest_inputs([]) is None
    assert digest_inputs([str(path), path]).sha256 == (sha256(path),) * 2


@pytest.mark.parametrize("how", ["rewritten", "touched", "removed"])
def test_a_file_that_changes_while_it_is_read_gives_no_mask(tmp_path, how):
    scan, target = write_scan(tmp_path / "in/a.nii.gz"), tmp_path / "mask.nii.gz"

    class Meddling(Thresholds):
        def __call__(self, slices, /):
            if how == "rewritten":
                write_scan(scan, seed=9)
            elif how == "touched":
                os.utime(scan, ns=(1, scan.stat().st_mtime_ns + 1))
            else:
                scan.unlink(missing_ok=True)
            return super().__call__(slices)

    segmenter = replace(make_segmenter(tmp_path / "b"), predictor=Meddling())
    with pytest.raises(InputError, match="changed while it was read"):
        segmenter.segment_to(scan, target)
    assert not target.exists()
    if how == "removed":
        return
    with pytest.raises(InputError, match="changed while it was read"):
        segmenter.segment(scan)


def test_names_of_any_kind_are_cases(tmp_path):
    names = ["a b", "line\nbreak", "Ödem–日本", "quote'\"", "-dash", "$(rm)", "a;b", "%s{}"]
    for n, name in enumerate(names):
        write_scan(tmp_path / "in" / f"{name}.nii.gz", seed=n)
    report = run_cases(tmp_path)
    assert statuses(report) == dict.fromkeys(names, "done")
    assert {p.name for p in (tmp_path / "out").glob("*.nii.gz")} == {f"{n}.nii.gz" for n in names}


def test_a_pattern_cannot_lead_out_of_the_output_folder(tmp_path):
    write_scan(tmp_path / "in/x/a.nii.gz")
    with pytest.raises(InputError, match=r"has \.\. after a wildcard"):
        run_cases(tmp_path, str(tmp_path / "in/*/../../in/x/a.nii.gz"))


def test_links_to_scans_are_followed_and_links_to_nothing_fail_alone(tmp_path):
    real = write_scan(tmp_path / "elsewhere/real.nii.gz")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link.nii.gz").symlink_to(real)
    (tmp_path / "in/gone.nii.gz").symlink_to(tmp_path / "nothing.nii.gz")
    (tmp_path / "in/itself.nii.gz").symlink_to(tmp_path / "in/itself.nii.gz")
    report = run_cases(tmp_path)
    assert statuses(report) == {"link": "done", "gone": "failed", "itself": "failed"}
    assert all(o.error is None or "Traceback" not in o.error for o in report.outcomes)
