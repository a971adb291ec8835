from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from tests.batch_helpers import ThresholdsLoader, files, ledger_lines, statuses, write_scan
from unet_med.batch import (
    BatchSettings,
    Case,
    Destination,
    NullListener,
    Outcome,
    Status,
    find_cases,
    watch_batch,
)
from unet_med.batch.report import FailureReason
from unet_med.batch.watch import StabilityTracker
from unet_med.errors import InputError


class TestArrivals:
    """What has come to rest, by a clock that the test moves."""

    @pytest.fixture(autouse=True)
    def _clock(self, tmp_path):
        self.now = 100.0
        self.tracker = StabilityTracker(10.0, clock=lambda: self.now)
        self.path = tmp_path / "a.nii"
        self.path.write_bytes(b"1")
        self.case = Case("a", PurePosixPath(), (self.path,))

    def ready_after(self, seconds):
        self.now += seconds
        return self.tracker.ready([self.case]) == [self.case]

    def fail(self, reason):
        outcome = Outcome(self.case, Status.FAILED, Path("m"), error="e", reason=str(reason))
        self.tracker.ended(outcome)

    def test_a_file_is_taken_once_when_it_has_rested(self):
        assert [self.ready_after(s) for s in (0, 9, 2, 50)] == [False, False, True, False]

    def test_growing_begins_the_rest_anew_and_so_does_a_change_later(self):
        self.ready_after(0)
        self.path.write_bytes(b"12")
        assert [self.ready_after(s) for s in (9, 9, 2)] == [False, False, True]
        self.path.write_bytes(b"123")
        assert [self.ready_after(s) for s in (60, 9, 2)] == [False, False, True]

    def test_a_bad_file_waits_for_a_change_but_a_full_disk_only_for_a_while(self):
        self.ready_after(0)
        assert self.ready_after(11)
        self.fail(FailureReason.SCAN)
        assert not self.ready_after(10_000)
        self.fail(FailureReason.OUTPUT)
        assert [self.ready_after(s) for s in (299, 2)] == [False, True]
        self.fail(FailureReason.OUTPUT)
        assert [self.ready_after(s) for s in (599, 2)] == [False, True]

    def test_what_vanishes_and_comes_again_is_new(self):
        self.ready_after(0)
        assert self.ready_after(11)
        self.tracker.ready([])
        assert [self.ready_after(s) for s in (0, 11)] == [False, True]

    def test_without_settling_a_file_is_taken_at_first_sight(self):
        self.tracker = replace(self.tracker, stable_seconds=0.0)
        assert [self.ready_after(s) for s in (0, 0)] == [True, False]


class Follower(NullListener):
    """Counts ends, and sends SIGINT to this process after the last that is expected."""

    def __init__(self, steps):
        self.steps = steps
        self.ended = []

    def case_ended(self, outcome):
        self.ended.append((outcome.case.key, str(outcome.status)))
        if not self.steps:
            os.kill(os.getpid(), signal.SIGINT)
        else:
            self.steps.pop(0)()


def watch(tmp_path, follower, *, stable_seconds=0.3):
    loader = ThresholdsLoader.of(tmp_path / "bundle")
    alarm = threading.Timer(60, os.kill, (os.getpid(), signal.SIGINT))
    alarm.start()
    try:
        return watch_batch(
            lambda: find_cases([tmp_path / "in"], n_channels=1, output=tmp_path / "out"),
            Destination(tmp_path / "out"),
            segmenter=loader,
            settings=BatchSettings(listener=follower),
            stable_seconds=stable_seconds,
        )
    finally:
        alarm.cancel()


def test_a_watch_takes_what_comes_survives_what_is_bad_and_ends_when_told(tmp_path):
    (tmp_path / "in").mkdir()
    scan = write_scan(tmp_path / "made" / "b.nii.gz", seed=1)

    def come_in_pieces():
        data = scan.read_bytes()
        with (tmp_path / "in" / "b.nii.gz").open("wb", buffering=0) as stream:
            for start in range(0, len(data), len(data) // 4 + 1):
                stream.write(data[start : start + len(data) // 4 + 1])
                time.sleep(0.1)

    follower = Follower(
        [
            lambda: (tmp_path / "in" / "bad.nii").write_bytes(b"no scan"),
            lambda: threading.Thread(target=come_in_pieces).start(),
            lambda: write_scan(tmp_path / "in" / "bad.nii", seed=2),
        ]
    )
    threading.Timer(0.5, lambda: write_scan(tmp_path / "in" / "a.nii.gz")).start()
    report = watch(tmp_path, follower)
    assert follower.ended == [
        ("a", "done"), ("bad", "failed"), ("b", "done"), ("bad", "done")
    ]  # fmt: skip
    assert statuses(report) == {"a": "done", "b": "done", "bad": "done"}
    assert report.exit_code == 0
    assert files(tmp_path / "out") == [
        "a.json", "a.nii.gz", "b.json", "b.nii.gz", "bad.json", "bad.nii.gz", "ledger.jsonl"
    ]  # fmt: skip


def test_a_watch_goes_on_where_the_last_one_ended(tmp_path):
    write_scan(tmp_path / "in" / "a.nii.gz")
    watch(tmp_path, Follower([]), stable_seconds=0)
    follower = Follower([])
    assert statuses(watch(tmp_path, follower, stable_seconds=0)) == {"a": "skipped"}
    assert [line["status"] for line in ledger_lines(tmp_path)].count("done") == 1


def test_two_files_of_one_name_are_a_complaint_and_no_end(tmp_path, messages_of):
    messages = messages_of("unet_med.batch.watch")
    write_scan(tmp_path / "in" / "a.nii.gz")
    second = write_scan(tmp_path / "in" / "a.nii")
    threading.Timer(1, second.unlink).start()
    assert statuses(watch(tmp_path, Follower([]), stable_seconds=0)) == {"a": "done"}
    assert len(messages) == 1
    assert "would both be written" in messages[0]


def test_what_a_watch_cannot_be_told(tmp_path):
    with pytest.raises(InputError, match="a watch takes"):
        watch_batch(
            lambda: None,
            Destination(tmp_path, "a.nii.gz"),
            segmenter=None,
            settings=BatchSettings(),
        )
