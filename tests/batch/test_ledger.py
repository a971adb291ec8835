from __future__ import annotations

import json
import resource

import pytest

from unet_med.batch.ledger import LedgerEntry, OutputHistory, Status, open_ledger
from unet_med.batch.resume import ResumeDecision, ResumePolicy, case_fingerprint, decide_resume
from unet_med.errors import OutputError


def entry(status, output="a.nii.gz", **more):
    return LedgerEntry("a", output, Status(status), **more)


def history(*entries):
    past = OutputHistory()
    for one in entries:
        past = past.after(one)
    return past


def test_lines_are_json_and_come_back(tmp_path):
    lines = [
        entry("started", fingerprint="f"),
        entry("writing", fingerprint="f", mask_sha256="d"),
        entry("done", fingerprint="f", mask_sha256="d", seconds={"write": 0.5}),
        entry("failed", "ü\udc80.nii.gz", error="bad"),
    ]
    with open_ledger(tmp_path, exclusive=True) as ledger:
        for line in lines:
            ledger.append(line)
    content = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert [line["status"] for line in content] == ["started", "writing", "done", "failed"]
    assert content[2]["seconds"] == {"write": 0.5}
    with open_ledger(tmp_path, exclusive=True) as ledger:
        past = ledger.history("a.nii.gz")
        assert past == history(*lines[:3])
        assert ledger.history("other") == OutputHistory()


def test_a_torn_last_line_is_passed_over_and_closed(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with open_ledger(tmp_path, exclusive=True) as ledger:
        ledger.append(entry("started", fingerprint="f"))
        ledger.append(entry("done", fingerprint="f", mask_sha256="d"))
    path.write_bytes(path.read_bytes()[:-7])
    with open_ledger(tmp_path, exclusive=True) as ledger:
        assert ledger.history("a.nii.gz").done is None
        assert ledger.history("a.nii.gz").unfinished_starts == 1
        ledger.append(entry("done", fingerprint="f", mask_sha256="e"))
    with open_ledger(tmp_path, exclusive=True) as ledger:
        assert ledger.history("a.nii.gz").done.mask_sha256 == "e"


def test_every_cut_of_a_ledger_can_be_opened_and_gone_on_with(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with open_ledger(tmp_path, exclusive=True) as ledger:
        ledger.append(entry("started", fingerprint="f"))
        ledger.append(entry("done", fingerprint="f", mask_sha256="d"))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with open_ledger(tmp_path, exclusive=True) as ledger:
            ledger.append(entry("failed", "b", error="x"))
            ledger.append(entry("done", "c", mask_sha256="y"))
        with open_ledger(tmp_path, exclusive=True) as ledger:
            assert ledger.history("c").written == {"y"}


def test_a_foreign_file_is_not_taken_for_a_ledger(tmp_path):
    (tmp_path / "ledger.jsonl").write_text('{"amount": 3}\n{"amount": 4}\n')
    with pytest.raises(OutputError, match="not a ledger"), open_ledger(tmp_path, exclusive=True):
        pass
    assert (tmp_path / "ledger.jsonl").read_text() == '{"amount": 3}\n{"amount": 4}\n'


def test_two_runs_are_kept_apart_and_single_files_may_share(tmp_path):
    def refused(*, exclusive):
        with pytest.raises(OutputError, match="another run"):
            open_ledger(tmp_path, exclusive=exclusive).__enter__()

    with open_ledger(tmp_path, exclusive=False), open_ledger(tmp_path, exclusive=False):
        refused(exclusive=True)
    with open_ledger(tmp_path, exclusive=True):
        refused(exclusive=False)
    with open_ledger(tmp_path, exclusive=True):
        pass


def test_a_full_disk_is_said_and_the_next_line_stays_whole(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_ledger(tmp_path, exclusive=True) as ledger:
        ledger.append(entry("started", fingerprint="f"))
        size = (tmp_path / "ledger.jsonl").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))
        try:
            with pytest.raises(OutputError, match="cannot add to the ledger"):
                ledger.append(entry("done", fingerprint="f", mask_sha256="d"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert ledger.history("a.nii.gz").done is None
        ledger.append(entry("done", fingerprint="f", mask_sha256="e"))
    with open_ledger(tmp_path, exclusive=True) as ledger:
        assert ledger.history("a.nii.gz").written == {"e"}


START = entry("started", fingerprint="f")
DONE = entry("done", fingerprint="f", mask_sha256="d")
KILLED = entry("failed", fingerprint="f", killed=True)


@pytest.mark.parametrize(
    ("past", "kills"),
    [
        ([], False),
        ([START], False),
        ([START, START], True),
        ([START, entry("started", fingerprint="g")], False),
        ([START, DONE, START], False),
        ([START, entry("failed", fingerprint="f"), START], False),
        ([START, START, KILLED], True),
        ([START, START, KILLED, START], True),  # a retry that was killed too
        ([KILLED, START, DONE], False),
        ([KILLED, entry("failed")], True),
        ([KILLED, entry("failed", fingerprint="f")], False),
    ],
)
def test_two_starts_without_an_end_kill(past, kills):
    assert history(*past).killed_process("f") is kills
    assert not history(*past).killed_process("other")


class TestDecideResume:
    """DIGEST is the sha256 of the mask that stands at the target."""

    DIGEST = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of b"x"

    def decide(self, tmp_path, *past, fingerprint="f", mask=b"x", **policy):
        target = tmp_path / "a.nii.gz"
        if mask is not None:
            target.write_bytes(mask)
        return decide_resume(
            target, fingerprint=fingerprint, history=history(*past), policy=ResumePolicy(**policy)
        )

    def done(self, **changes):
        return entry("done", fingerprint="f", mask_sha256=self.DIGEST).with_status(
            Status.DONE, **changes
        )

    def test_equal_fingerprint_and_digest_skip(self, tmp_path):
        assert self.decide(tmp_path, self.done()) is ResumeDecision.SKIP

    def test_other_work_runs_and_may_replace(self, tmp_path):
        assert self.decide(tmp_path, self.done(), fingerprint="g") is ResumeDecision.RUN

    def test_a_removed_mask_is_made_again(self, tmp_path):
        assert self.decide(tmp_path, self.done(), mask=None) is ResumeDecision.RUN

    def test_overwrite_runs_in_any_case(self, tmp_path):
        assert self.decide(tmp_path, self.done(), overwrite=True) is ResumeDecision.RUN
        assert self.decide(tmp_path, mask=b"foreign", overwrite=True) is ResumeDecision.RUN

    def test_a_mask_corrected_by_hand_stays(self, tmp_path):
        with pytest.raises(OutputError, match=r"changed since it was written.*--overwrite"):
            self.decide(tmp_path, self.done(), mask=b"corrected")

    def test_a_foreign_mask_stays(self, tmp_path):
        with pytest.raises(OutputError, match="is not in the ledger"):
            self.decide(tmp_path)

    def test_a_mask_whose_writing_was_killed_before_done_is_ours(self, tmp_path):
        writing = entry("writing", fingerprint="f", mask_sha256=self.DIGEST)
        assert self.decide(tmp_path, START, writing) is ResumeDecision.RUN

    def test_killing_work_runs_only_when_asked(self, tmp_path):
        assert self.decide(tmp_path, START, START, mask=None) is ResumeDecision.KILLED
        assert (
            self.decide(tmp_path, START, START, mask=None, retry_failed=True) is ResumeDecision.RUN
        )
        assert (
            self.decide(tmp_path, START, START, mask=None, overwrite=True) is ResumeDecision.KILLED
        )


def test_the_fingerprint_depends_on_each_part():
    parts = {"bundle_sha256": "b", "settings": {"precision": "fp32"}, "version": "1"}
    prints = {
        case_fingerprint(["x", "y"], **parts),
        case_fingerprint(["y", "x"], **parts),
        case_fingerprint(["xy"], **parts),
        case_fingerprint(["x", "y"], **(parts | {"bundle_sha256": "c"})),
        case_fingerprint(["x", "y"], **(parts | {"settings": {"precision": "bf16"}})),
        case_fingerprint(["x", "y"], **(parts | {"version": "2"})),
    }
    assert len(prints) == 6
