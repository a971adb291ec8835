from __future__ import annotations

import resource

import pytest

from tests.batch_helpers import (
    files,
    run_cases,
    statuses,
    write_bundle,
    write_scan,
)
from unet_med import _files
from unet_med.errors import InputError, OutputError
from unet_med.volumes import verify_mask


class TestOutput:
    def test_one_input_may_go_into_one_file(self, tmp_path):
        scan = write_scan(tmp_path / "a.nii.gz")
        other = tmp_path / f"{_files.PARTIAL_PREFIX}{'0' * 32}.somebody.nii.gz"
        other.write_bytes(b"another run writes here")
        report = run_cases(tmp_path, scan, output="a_seg.nii")
        assert report.exit_code == 0
        assert verify_mask(scan, tmp_path / "a_seg.nii") == []
        assert (tmp_path / "a_seg.json").is_file()
        assert other.exists()
        assert statuses(run_cases(tmp_path, scan, output="a_seg.nii")) == {"a": "skipped"}

    def test_several_inputs_do_not_fit_into_one_file(self, tmp_path):
        scans = [write_scan(tmp_path / name) for name in ("a.nii", "b.nii")]
        with pytest.raises(InputError, match=r"2 cases \(a, b\) cannot go into the one file"):
            run_cases(tmp_path, *scans, output="x.nii.gz")
        assert not (tmp_path / "ledger.jsonl").exists()

    def test_a_mask_never_replaces_its_scan(self, tmp_path):
        scan = write_scan(tmp_path / "a.nii.gz")
        before = scan.read_bytes()
        for output in (".", "a.nii.gz"):
            with pytest.raises(InputError, match="would replace the scan"):
                run_cases(tmp_path, scan, output=output, overwrite=True)
        assert scan.read_bytes() == before

    def test_a_map_never_replaces_another_cases_mask(self, tmp_path):
        scans = [write_scan(tmp_path / name) for name in ("a.nii", "a.entropy.nii")]
        with pytest.raises(
            InputError, match=r"two cases would be written as .*a\.entropy\.nii\.gz"
        ):
            run_cases(tmp_path, *scans, save_maps=("entropy",))
        assert run_cases(tmp_path, *scans, save_maps=("uncertainty",)).exit_code == 0

    def test_an_output_that_is_a_file_is_refused(self, tmp_path):
        scan = write_scan(tmp_path / "a.nii.gz")
        (tmp_path / "out").write_text("x")
        with pytest.raises(OutputError, match="is not a folder"):
            run_cases(tmp_path, scan)
        with pytest.raises(OutputError, match="is not a folder"):
            run_cases(tmp_path, scan, output="out/below")

    def test_an_unwritable_folder_is_refused(self, tmp_path):
        scan = write_scan(tmp_path / "a.nii.gz")
        with pytest.raises(OutputError, match="cannot write to /proc/out"):
            run_cases(tmp_path, scan, output="/proc/out")

    def test_a_full_disk_is_refused_at_the_start(self, tmp_path):
        scan = write_scan(tmp_path / "a.nii.gz")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        write_bundle(tmp_path / "bundle")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            with pytest.raises(OutputError, match="cannot write to"):
                run_cases(tmp_path, scan)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert files(tmp_path / "out") == []

    def test_a_disk_that_fills_up_fails_the_case_and_leaves_nothing(self, tmp_path):
        write_scan(tmp_path / "in" / "a.nii.gz", shape=(90, 80, 70))
        write_scan(tmp_path / "in" / "b.nii.gz")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, limits[1]))
        try:
            report = run_cases(tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert statuses(report) == {"a": "failed", "b": "done"}
        assert files(tmp_path / "out") == ["b.json", "b.nii.gz", "ledger.jsonl"]
        assert statuses(run_cases(tmp_path)) == {"a": "done", "b": "skipped"}
