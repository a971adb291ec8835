from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from tests.kills import command, make_inputs, run_to_the_end, run_trials


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
