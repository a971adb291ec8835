"""Real ``unet-med segment`` processes, killed at random, then run again.

``python -m tests.kill_trials 60`` prints what 60 trials came to.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.batch_helpers import files, write_scan
from unet_med.batch.executors import INLINE_CAPACITY

N_CASES = 6
JOBS = 2
LINES_PER_CASE = 3
PATIENCE_S = 300


def command(root, *more):
    return [
        sys.executable, "-m", "unet_med", "segment", str(root / "in"), "--output",
        str(root / "out"), "--threads", "1", "--json", *more,
    ]  # fmt: skip


def run_to_the_end(root, *more):
    """Return the exit code and the report."""
    done = subprocess.run(command(root, *more), capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, json.loads(done.stdout)


def run_and_kill(root, dice, *more):
    """Start a run in a session of its own and kill all of it after a random ledger line."""
    lines = dice.randrange(N_CASES * LINES_PER_CASE)
    ledger = root / "out" / "ledger.jsonl"
    before = ledger.read_bytes().count(b"\n") if ledger.exists() else 0
    process = subprocess.Popen(
        command(root, *more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < PATIENCE_S:
        if ledger.exists() and ledger.read_bytes().count(b"\n") - before >= lines:
            break
        time.sleep(0.001)
    time.sleep(dice.uniform(0, 0.03))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def masks(root):
    return {
        path.relative_to(root / "out").as_posix(): path.read_bytes()
        for path in (root / "out").rglob("*.nii.gz")
        if not path.name.startswith(".")
    }


def in_flight(root):
    """Cases begun and not ended when the process was killed."""
    last = {line["case"]: line["status"] for line in whole_lines(root)}
    return {case for case, status in last.items() if status in {"started", "writing"}}


def whole_lines(root):
    path = root / "out" / "ledger.jsonl"
    data = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


@dataclass
class Trial:
    root: Path
    expected: dict
    dice: random.Random
    jobs: int

    def run(self):
        """Kill once, edit a finished mask by hand in half of the trials, run again."""
        more = ("--jobs", str(self.jobs)) if self.jobs > 1 else ()
        code = run_and_kill(self.root, self.dice, *more)
        found = masks(self.root)
        for name, content in found.items():  # whatever has its name is whole
            assert content == self.expected[name], name
        cut_short = in_flight(self.root)
        assert len(cut_short) <= (INLINE_CAPACITY if self.jobs == 1 else self.jobs + 1)
        statuses = Counter(line["status"] for line in whole_lines(self.root))
        finished = [line for line in whole_lines(self.root) if line["status"] == "done"]
        edited = self._edit(finished) if self.dice.random() < 0.5 else None
        exit_code, report = run_to_the_end(self.root, *more)
        self._check(report, edited=edited, finished={line["case"] for line in finished})
        assert exit_code == (0 if edited is None else 1)
        begun = Counter(
            line["case"] for line in ledger_lines_of(self.root) if line["status"] == "started"
        )
        assert {case for case, count in begun.items() if count > 1} <= cut_short
        return {"exit": code, "in flight": len(cut_short), "done": statuses["done"]}

    def _edit(self, finished):
        if not finished:
            return None
        line = self.dice.choice(finished)
        (self.root / "out" / line["output"]).write_bytes(b"corrected by hand")
        return line["output"]

    def _check(self, report, *, edited, finished):
        left = masks(self.root)
        if edited is not None:
            assert left.pop(edited) == b"corrected by hand"
        assert left == {name: data for name, data in self.expected.items() if name != edited}
        for case in report["cases"]:
            name = f"{case['case']}.nii.gz"
            wanted = "skipped" if case["case"] in finished else "done"
            assert case["status"] == ("failed" if name == edited else wanted), case
        assert not [name for name in files(self.root / "out") if "partial" in name]


def ledger_lines_of(root):
    """All lines that are whole; one may have been torn."""
    lines = []
    for line in (root / "out" / "ledger.jsonl").read_bytes().split(b"\n"):
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


def make_inputs(root):
    for n in range(N_CASES):
        folder = "" if n % 2 else "ward/"
        write_scan(root / "in" / f"{folder}s{n}.nii.gz", shape=(24 + n, 20, 6 + n), seed=n)


def run_trials(folder, count, *, seed):
    """Run so many trials; return one row per run that was killed."""
    make_inputs(folder / "whole")
    assert run_to_the_end(folder / "whole")[0] == 0
    expected = masks(folder / "whole")
    assert len(expected) == N_CASES
    dice = random.Random(seed)
    rows = []
    for number in range(count):
        root = folder / f"trial{number}"
        root.mkdir()
        (root / "in").symlink_to(folder / "whole" / "in")
        rows.append(Trial(root, expected, dice, jobs=JOBS if number % 3 == 2 else 1).run())
    return [row for row in rows if row["exit"] == -signal.SIGKILL]


def main():
    count, seed = int(sys.argv[1]), int.from_bytes(os.urandom(4), "little")
    with tempfile.TemporaryDirectory() as folder:
        killed = run_trials(Path(folder), count, seed=seed)
    lines = [
        f"{count} trials of {N_CASES} cases, every third with {JOBS} processes; seed {seed}",
        f"runs killed before their end: {len(killed)}",
        *(
            f"{name} at the kill, number of runs: {dict(sorted(counts.items()))}"
            for name, counts in (
                ("cases in flight", Counter(row["in flight"] for row in killed)),
                ("cases done", Counter(row["done"] for row in killed)),
            )
        ),
        "run again: all masks there and equal, only cases in flight done twice, no edit lost",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
