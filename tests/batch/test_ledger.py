from __future__ import annotations

import json
import resource

import pytest

from unet_med.batch.ledger import Entry, History, Status, open_ledger
from unet_med.batch.resume import Policy, Verdict, fingerprint, judge
from unet_med.errors import OutputError


def entry(status, output="a.nii.gz", **more):
    return Entry("a", output, Status(status), **more)


def history(*entries):
    past = History()
    for one in entries:
        past = past.after(one)
    return past


def test_lines_are_json_and_come_back(tmp_path):
    lines = [
        entry("started", fingerprint="f"),
        entry("writing", fingerprint="f", digest="d"),
        entry("done", fingerprint="f", digest="d", seconds={"write": 0.5}),
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
        assert ledger.history("other") == History()


def test_a_torn_last_line_is_passed_over_and_closed(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with open_ledger(tmp_path, exclusive=True) as ledger:
        ledger.append(entry("started", fingerprint="f"))
        ledger.append(entry("done", fingerprint="f", digest="d"))
    path.write_bytes(path.read_bytes()[:-7])
    with open_ledger(tmp_path, exclusive=True) as ledger:
        assert ledger.history("a.nii.gz").done is None
        assert ledger.history("a.nii.gz").open_starts == 1
        ledger.append(entry("done", fingerprint="f", digest="e"))
    with open_ledger(tmp_path, exclusive=True) as ledger:
        assert ledger.history("a.nii.gz").done.digest == "e"


def test_every_cut_of_a_ledger_can_be_opened_and_gone_on_with(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with open_ledger(tmp_path, exclusive=True) as ledger:
        ledger.append(entry("started", fingerprint="f"))
        ledger.append(entry("done", fingerprint="f", digest="d"))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with open_ledger(tmp_path, exclusive=True) as ledger:
            ledger.append(entry("failed", "b", error="x"))
            ledger.append(entry("done", "c", digest="y"))
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
                ledger.append(entry("done", fingerprint="f", digest="d"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert ledger.history("a.nii.gz").done is None
        ledger.append(entry("done", fingerprint="f", digest="e"))
    with open_ledger(tmp_path, exclusive=True) as ledger:
        assert ledger.history("a.nii.gz").written == {"e"}


START = entry("started", fingerprint="f")
DONE = entry("done", fingerprint="f", digest="d")
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
    assert history(*past).kills("f") is kills
    assert not history(*past).kills("other")


class TestJudge:
    """DIGEST is the sha256 of the mask that stands at the target."""

    DIGEST = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of b"x"

    def judged(self, tmp_path, *past, work="f", mask=b"x", **policy):
        target = tmp_path / "a.nii.gz"
        if mask is not None:
            target.write_bytes(mask)
        return judge(target, work=work, history=history(*past), policy=Policy(**policy))

    def done(self, **changes):
        return entry("done", fingerprint="f", digest=self.DIGEST).turned(Status.DONE, **changes)

    def test_equal_fingerprint_and_digest_skip(self, tmp_path):
        assert self.judged(tmp_path, self.done()) is Verdict.SKIP

    def test_other_work_runs_and_may_replace(self, tmp_path):
        assert self.judged(tmp_path, self.done(), work="g") is Verdict.RUN

    def test_a_removed_mask_is_made_again(self, tmp_path):
        assert self.judged(tmp_path, self.done(), mask=None) is Verdict.RUN

    def test_overwrite_runs_in_any_case(self, tmp_path):
        assert self.judged(tmp_path, self.done(), overwrite=True) is Verdict.RUN
        assert self.judged(tmp_path, mask=b"foreign", overwrite=True) is Verdict.RUN

    def test_a_mask_corrected_by_hand_stays(self, tmp_path):
        with pytest.raises(OutputError, match=r"changed since it was written.*--overwrite"):
            self.judged(tmp_path, self.done(), mask=b"corrected")

    def test_a_foreign_mask_stays(self, tmp_path):
        with pytest.raises(OutputError, match="is not in the ledger"):
            self.judged(tmp_path)

    def test_a_mask_whose_writing_was_killed_before_done_is_ours(self, tmp_path):
        writing = entry("writing", fingerprint="f", digest=self.DIGEST)
        assert self.judged(tmp_path, START, writing) is Verdict.RUN

    def test_killing_work_runs_only_when_asked(self, tmp_path):
        assert self.judged(tmp_path, START, START, mask=None) is Verdict.KILLS
        assert self.judged(tmp_path, START, START, mask=None, retry_failed=True) is Verdict.RUN
        assert self.judged(tmp_path, START, START, mask=None, overwrite=True) is Verdict.KILLS


def test_the_fingerprint_depends_on_each_part():
    parts = {"bundle_sha256": "b", "settings": {"precision": "fp32"}, "version": "1"}
    prints = {
        fingerprint(["x", "y"], **parts),
        fingerprint(["y", "x"], **parts),
        fingerprint(["xy"], **parts),
        fingerprint(["x", "y"], **(parts | {"bundle_sha256": "c"})),
        fingerprint(["x", "y"], **(parts | {"settings": {"precision": "bf16"}})),
        fingerprint(["x", "y"], **(parts | {"version": "2"})),
    }
    assert len(prints) == 6
