"""Faults of disks, clocks and memory, each brought about for real where a test can."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.batch_helpers import (
    files,
    labels_of,
    reference_labels,
    run_cases,
    statuses,
    write_bundle,
    write_scan,
)
from tests.kill_trials import command, ledger_lines_of, make_inputs, run_to_the_end
from unet_med.batch import ledger as ledger_module
from unet_med.errors import OutputError


@contextmanager
def small_disk(folder, kilobytes):
    """Mount a small file system in memory, where the system lets us."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_fails_the_cases_that_do_not_fit_and_no_other(tmp_path):
    for n in range(6):
        write_scan(tmp_path / "in" / f"s{n}.nii.gz", shape=(60, 50, 40), seed=n)
    with small_disk(tmp_path / "out", 160) as disk:
        report = run_cases(tmp_path)
        ends = statuses(report)
        assert set(ends.values()) == {"done", "failed"}
        assert set(report.reasons()) == {"mask cannot be written"}
        for name, status in ends.items():
            mask = disk / f"{name}.nii.gz"
            assert mask.exists() == (status == "done")
            if mask.exists():
                expected = reference_labels(tmp_path / "in" / mask.name)
                np.testing.assert_array_equal(labels_of(mask), expected)
        assert not [name for name in files(disk) if "partial" in name]
        done = [name for name, status in ends.items() if status == "done"]
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        again = statuses(run_cases(tmp_path))
        assert again == {name: "skipped" if name in done else "done" for name in ends}


def test_a_disk_without_room_for_anything_is_said_before_the_first_case(tmp_path):
    write_scan(tmp_path / "in" / "a.nii.gz")
    with small_disk(tmp_path / "out", 4), pytest.raises(OutputError, match="No space left"):
        run_cases(tmp_path)


def test_an_output_that_cannot_be_written_is_said_before_the_first_case(tmp_path):
    write_scan(tmp_path / "in" / "a.nii.gz")
    with small_disk(tmp_path / "out", 100) as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(OutputError, match="Read-only file system"):
            run_cases(tmp_path)


def test_an_output_that_becomes_read_only_fails_cases_and_goes_on(tmp_path):
    for n in range(3):
        write_scan(tmp_path / "in" / f"s{n}.nii.gz", seed=n)
    with small_disk(tmp_path / "out", 200) as disk:
        run_cases(tmp_path, limit=1)
        held = (disk / "ledger.jsonl").open("rb")  # a reader does not hinder the remount
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(OutputError):
            run_cases(tmp_path)
        held.close()
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert statuses(run_cases(tmp_path)) == {"s0": "skipped", "s1": "done", "s2": "done"}


def test_memory_that_runs_out_in_one_case_fails_that_case(tmp_path):
    """The limit of this process is lowered while one scan with huge slices is made."""
    write_scan(tmp_path / "in" / "a.nii.gz")
    huge = np.zeros((6000, 6000, 2), np.int16)
    huge[:3000] = 100
    nib.save(nib.Nifti1Image(huge, np.eye(4)), tmp_path / "in" / "huge.nii")
    write_scan(tmp_path / "in" / "z.nii.gz")
    code = """
        import json, resource, sys
        from pathlib import Path
        from tests.batch_helpers import run_cases, statuses
        import unet_med.inference, nibabel
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 250_000_000, resource.RLIM_INFINITY))
        report = run_cases(Path(sys.argv[1]))
        print(json.dumps([statuses(report), report.reasons()]))
    """
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(line[8:] for line in code.splitlines()), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ends, reasons = json.loads(done.stdout)
    assert ends == {"a": "done", "huge": "failed", "z": "done"}
    assert reasons == {"out of memory": 1}


@pytest.mark.parametrize(
    ("number", "jobs"),
    [(signal.SIGTERM, 1), pytest.param(signal.SIGINT, 2, marks=pytest.mark.slow)],
)
def test_a_signal_abandons_the_case_in_hand_and_is_no_failure_of_it(tmp_path, number, jobs):
    make_inputs(tmp_path)
    process = subprocess.Popen(
        command(tmp_path, "--jobs", str(jobs)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    ledger = tmp_path / "out" / "ledger.jsonl"
    while process.poll() is None and not (ledger.exists() and ledger.stat().st_size):
        time.sleep(0.002)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, said = process.communicate()
    if process.returncode == 0:
        pytest.skip("the run was over before the signal")
    assert process.returncode == 130
    assert "the same command goes on with the rest" in said
    last = {line["case"]: line for line in ledger_lines_of(tmp_path)}
    assert {line["status"] for line in last.values()} <= {"done", "failed"}
    stopped = [line for line in last.values() if line["status"] == "failed"]
    assert {line["error"] for line in stopped} <= {"stopped by the user"}
    assert not [name for name in files(tmp_path / "out") if "partial" in name]
    code, report = run_to_the_end(tmp_path)
    assert (code, report["failed"]) == (0, 0)


def test_a_clock_that_jumps_back_changes_nothing(tmp_path, monkeypatch):
    scan = write_scan(tmp_path / "in" / "a.nii.gz")
    run_cases(tmp_path)
    monkeypatch.setattr(ledger_module, "_now", lambda: "1999-12-31T23:59:59+00:00")
    os.utime(scan, (2**32, 2**32))  # and a scan from the year 2106
    assert statuses(run_cases(tmp_path)) == {"a": "skipped"}
    write_scan(scan, seed=1)
    os.utime(scan, (0, 0))
    assert statuses(run_cases(tmp_path)) == {"a": "done"}
    np.testing.assert_array_equal(labels_of(tmp_path / "out" / "a.nii.gz"), reference_labels(scan))


class TestNetworkFolders:
    """What NFS does to renames and flushes, since no such folder can be mounted in a test."""

    @pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.EBUSY, errno.EXDEV])
    def test_a_rename_that_fails_fails_the_case(self, tmp_path, monkeypatch, code):
        write_scan(tmp_path / "in" / "a.nii.gz")
        write_scan(tmp_path / "in" / "b.nii.gz", seed=1)
        rename = Path.replace

        def fail_once(self, target):
            if target.name == "a.nii.gz":
                raise OSError(code, os.strerror(code))
            return rename(self, target)

        monkeypatch.setattr(Path, "replace", fail_once)
        assert statuses(run_cases(tmp_path)) == {"a": "failed", "b": "done"}
        assert files(tmp_path / "out") == ["b.json", "b.nii.gz", "ledger.jsonl"]
        monkeypatch.undo()
        assert statuses(run_cases(tmp_path)) == {"a": "done", "b": "skipped"}

    def test_a_rename_that_was_done_and_is_reported_as_failed_is_known_as_ours(
        self, tmp_path, monkeypatch
    ):
        """A lost answer makes the client ask again, and the source is gone by then."""
        write_scan(tmp_path / "in" / "a.nii.gz")
        write_bundle(tmp_path / "bundle")
        rename = Path.replace

        def lose_the_answer(self, target):
            rename(self, target)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

        monkeypatch.setattr(Path, "replace", lose_the_answer)
        assert statuses(run_cases(tmp_path)) == {"a": "failed"}
        monkeypatch.undo()
        assert statuses(run_cases(tmp_path)) == {"a": "done"}

    def test_a_mask_that_a_viewer_holds_open_is_replaced_and_the_viewer_keeps_the_old(
        self, tmp_path
    ):
        scan = write_scan(tmp_path / "in" / "a.nii.gz")
        run_cases(tmp_path)
        mask = tmp_path / "out" / "a.nii.gz"
        before = mask.read_bytes()
        with mask.open("rb") as viewer:
            write_scan(scan, seed=1)
            assert statuses(run_cases(tmp_path)) == {"a": "done"}
            assert viewer.read() == before
        assert mask.read_bytes() != before

    def test_a_folder_without_locks_is_used_with_a_warning(
        self, tmp_path, monkeypatch, messages_of
    ):
        messages = messages_of("unet_med.batch.file_lock")
        write_scan(tmp_path / "in" / "a.nii.gz")

        def no_locks(*_arguments):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr("fcntl.flock", no_locks)
        assert statuses(run_cases(tmp_path)) == {"a": "done"}
        assert "cannot be locked" in messages[0]


def test_a_mask_edited_while_its_successor_is_made_is_kept(tmp_path):
    from unet_med.batch import NullListener

    scan = write_scan(tmp_path / "in" / "a.nii.gz")
    run_cases(tmp_path)
    write_scan(scan, seed=1)
    mask = tmp_path / "out" / "a.nii.gz"

    class Editor(NullListener):
        def case_progress(self, *_counts):
            mask.write_bytes(b"corrected by hand meanwhile")

    report = run_cases(tmp_path, listener=Editor())
    assert "was changed meanwhile" in report.outcomes[0].error
    assert mask.read_bytes() == b"corrected by hand meanwhile"
    assert not [name for name in files(tmp_path / "out") if "partial" in name]


def test_limits_of_open_files_do_not_stop_a_long_batch(tmp_path):
    for n in range(40):
        write_scan(tmp_path / "in" / f"s{n}.nii.gz", shape=(4, 4, 3), seed=n)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 24, before[1])
    )
    try:
        assert run_cases(tmp_path).exit_code == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
