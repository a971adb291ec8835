"""A batch that is run again: after success, after edits, after kills."""

from __future__ import annotations

import os
import signal
import subprocess
import time

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
from tests.kill_trials import command, make_inputs, run_to_the_end, run_trials
from unet_med import _files
from unet_med.batch import BatchSettings, Destination, NullListener, Status, find_cases, run_batch
from unet_med.batch.ledger import LedgerEntry, open_ledger


class TestResume:
    def test_a_second_run_does_nothing(self, tmp_path):
        write_scan(tmp_path / "in" / "a.nii.gz")
        run_cases(tmp_path)
        mask = tmp_path / "out" / "a.nii.gz"
        before = mask.stat().st_mtime_ns
        report = run_cases(tmp_path)
        assert statuses(report) == {"a": "skipped"}
        assert report.exit_code == 0
        assert mask.stat().st_mtime_ns == before
        assert statuses(run_cases(tmp_path)) == {"a": "skipped"}

    def test_a_changed_scan_is_done_again_and_replaces_its_mask(self, tmp_path):
        scan = write_scan(tmp_path / "in" / "a.nii.gz")
        run_cases(tmp_path)
        write_scan(scan, seed=1)
        assert statuses(run_cases(tmp_path)) == {"a": "done"}
        np.testing.assert_array_equal(labels_of(tmp_path / "out/a.nii.gz"), reference_labels(scan))

    def test_other_weights_are_other_work(self, tmp_path):
        write_scan(tmp_path / "in" / "a.nii.gz")
        run_cases(tmp_path)
        bundle = tmp_path / "bundle"
        (bundle / "models" / "model.pt").write_bytes(b"other")
        cases = find_cases([tmp_path / "in"], n_channels=1, output=None)
        report = run_batch(
            cases,
            Destination(tmp_path / "out"),
            segmenter=make_segmenter(bundle),
            settings=BatchSettings(),
        )
        assert statuses(report) == {"a": "done"}

    def test_a_mask_corrected_by_hand_is_kept_until_overwrite(self, tmp_path):
        write_scan(tmp_path / "in" / "a.nii.gz")
        write_scan(tmp_path / "in" / "b.nii.gz")
        run_cases(tmp_path)
        mask = tmp_path / "out" / "a.nii.gz"
        mask.write_bytes(b"corrected")
        report = run_cases(tmp_path)
        assert statuses(report) == {"a": "failed", "b": "skipped"}
        assert report.exit_code == 1
        assert "changed since it was written" in report.outcomes[0].error
        assert mask.read_bytes() == b"corrected"
        assert statuses(run_cases(tmp_path, overwrite=True)) == {"a": "done", "b": "done"}
        assert mask.read_bytes() != b"corrected"
        assert statuses(run_cases(tmp_path)) == {"a": "skipped", "b": "skipped"}

    def test_a_foreign_sidecar_is_kept_too(self, tmp_path):
        write_scan(tmp_path / "in" / "a.nii.gz")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a.json").write_text('{"EchoTime": 0.03}')
        report = run_cases(tmp_path)
        assert "not written by this program" in report.outcomes[0].error
        assert files(tmp_path / "out") == ["a.json", "ledger.jsonl"]

    def test_two_starts_without_an_end_are_tried_only_when_asked(self, tmp_path):
        write_scan(tmp_path / "in" / "a.nii.gz")
        run_cases(tmp_path)
        work = ledger_lines(tmp_path)[-1]["fingerprint"]
        (tmp_path / "out" / "a.nii.gz").unlink()
        start = LedgerEntry("a", "a.nii.gz", Status.STARTED, fingerprint=work)
        with open_ledger(tmp_path / "out", exclusive=True) as ledger:
            ledger.append(start)
            ledger.append(start)
        for _ in range(2):  # it stays failed
            report = run_cases(tmp_path)
            assert statuses(report) == {"a": "failed"}
            assert "killed the process" in report.outcomes[0].error
        assert statuses(run_cases(tmp_path, retry_failed=True)) == {"a": "done"}
        assert statuses(run_cases(tmp_path)) == {"a": "skipped"}

    def test_an_interrupted_case_is_no_kill(self, tmp_path):
        write_scan(tmp_path / "in" / "a.nii.gz")

        class Impatient(NullListener):
            def case_progress(self, *_counts):
                raise KeyboardInterrupt

        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                run_cases(tmp_path, listener=Impatient())
        assert files(tmp_path / "out") == ["ledger.jsonl"]
        assert ledger_lines(tmp_path)[-1]["error"] == "stopped by the user"
        assert statuses(run_cases(tmp_path)) == {"a": "done"}


def kill_at_flush(number, work):
    """Run in a child process that dies, as by SIGKILL, before its n-th flush to disk."""
    child = os.fork()
    if child == 0:
        flush, left = os.fsync, [number]

        def die(handle):
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
            flush(handle)

        os.fsync = die
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def decoded(folder):
    """Masks by name as (header bytes, voxels)."""
    return {p.name: (p.read_bytes(), labels_of(p).tobytes()) for p in folder.glob("*.nii.gz")}


def test_a_run_killed_at_any_flush_ends_as_an_uninterrupted_one(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for root in (whole, killed):
        write_scan(root / "in" / "a.nii.gz")
        write_scan(root / "in" / "b.nii.gz", seed=1)
        write_bundle(root / "bundle")
    assert run_cases(whole).exit_code == 0
    expected = decoded(whole / "out")
    for number in range(100):
        code = kill_at_flush(number, lambda: run_cases(killed))
        if code == 0:
            break
        assert code == 9
        report = run_cases(killed)
        assert report.exit_code == 0, (number, report.outcomes)
        assert decoded(killed / "out") == expected
        assert files(killed / "out") == files(whole / "out")
        for path in (killed / "out").iterdir():
            path.unlink()
    assert number > 10


def test_a_case_that_kills_the_process_twice_is_left_alone(tmp_path):
    write_scan(tmp_path / "in" / "a.nii.gz")
    write_scan(tmp_path / "in" / "b.nii.gz")
    write_bundle(tmp_path / "bundle")
    for _ in range(2):
        assert kill_at_flush(1, lambda: run_cases(tmp_path)) == 9
    assert statuses(run_cases(tmp_path)) == {"a": "failed", "b": "done"}
    assert statuses(run_cases(tmp_path, retry_failed=True)) == {"a": "done", "b": "skipped"}


def test_a_run_killed_while_replacing_knows_its_own_mask(tmp_path):
    scan = write_scan(tmp_path / "in" / "a.nii.gz")
    for number in range(100):
        run_cases(tmp_path, overwrite=True)
        write_scan(scan, seed=number + 1)
        code = kill_at_flush(number, lambda: run_cases(tmp_path))
        assert run_cases(tmp_path).exit_code == 0
        np.testing.assert_array_equal(labels_of(tmp_path / "out/a.nii.gz"), reference_labels(scan))
        if code == 0:
            break
    assert number > 5


def test_leftovers_of_killed_runs_are_removed_and_nothing_else(tmp_path):
    write_scan(tmp_path / "in" / "sub" / "a.nii.gz")
    ours = f"{_files.PARTIAL_PREFIX}{'0' * 32}."
    (tmp_path / "out" / "sub").mkdir(parents=True)
    for name in (f"{ours}x.nii.gz", f"{ours}{ours}x.nii.gz", ".other", f"{_files.PARTIAL_PREFIX}x"):
        (tmp_path / "out" / "sub" / name).write_bytes(b"")
    run_cases(tmp_path)
    assert files(tmp_path / "out" / "sub") == [
        ".other", f"{_files.PARTIAL_PREFIX}x", "a.json", "a.nii.gz"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("trials", "seed"), [(2, 5), pytest.param(60, 2026, marks=pytest.mark.slow)]
)
def test_a_batch_killed_at_random_ends_as_an_uninterrupted_one(tmp_path, trials, seed):
    assert len(run_trials(tmp_path, trials, seed=seed)) >= trials * 0.8


def test_a_second_run_on_a_folder_is_refused_while_the_first_lives(tmp_path):
    make_inputs(tmp_path)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    first = subprocess.Popen(command(tmp_path), **quiet)
    while first.poll() is None and not (tmp_path / "out" / "ledger.jsonl").exists():
        time.sleep(0.005)
    os.kill(first.pid, signal.SIGSTOP)  # it holds the folder for as long as it lives
    try:
        second = subprocess.run(command(tmp_path), capture_output=True, text=True, check=False)
    finally:
        first.kill()
        first.wait()
    assert second.returncode == 2
    assert "another run is writing to" in second.stderr
    assert run_to_the_end(tmp_path)[0] == 0
