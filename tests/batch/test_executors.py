from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.batch_helpers import (
    ThresholdsLoader,
    files,
    labels_of,
    ledger_lines,
    reference_labels,
    run_cases,
    statuses,
    write_scan,
)
from unet_med.batch import (
    BatchSettings,
    Destination,
    NullListener,
    ProcessExecutor,
    find_cases,
    process_executor,
    run_batch,
)
from unet_med.errors import BundleError, InputError


def write_scans(folder, count=5):
    """Scans whose slices differ in their longer side: 8, 12, …."""
    return [
        write_scan(folder / f"s{n}.nii.gz", shape=(8 + 4 * n, 7, 4), seed=n) for n in range(count)
    ]


def run_with(executor, tmp_path, loader, **settings):
    cases = find_cases([tmp_path / "in"], n_channels=1, output=tmp_path / "out")
    return run_batch(
        cases,
        Destination(tmp_path / "out"),
        segmenter=loader,
        settings=BatchSettings(**settings),
        executor=executor,
    )


def masks(folder):
    return {p.name: p.read_bytes() for p in folder.rglob("*.nii.gz")}


def test_processes_make_the_same_masks_and_fingerprints_as_one(tmp_path):
    write_scans(tmp_path / "one" / "in")
    run_cases(tmp_path / "one")
    write_scans(tmp_path / "two" / "in")
    (tmp_path / "two" / "in" / "bad.nii").write_bytes(b"no scan")
    loader = ThresholdsLoader.of(tmp_path / "two" / "bundle")
    with process_executor(2, loader) as executor:
        report = run_with(executor, tmp_path / "two", loader)
    assert statuses(report) == {"bad": "failed"} | {f"s{n}": "done" for n in range(5)}
    assert report.reasons() == {"scan cannot be read": 1}
    assert masks(tmp_path / "two" / "out") == masks(tmp_path / "one" / "out")
    fingerprints = [
        {
            line["case"]: line["fingerprint"]
            for line in ledger_lines(root)
            if line["status"] == "done"
        }
        for root in (tmp_path / "one", tmp_path / "two")
    ]
    assert fingerprints[0] == fingerprints[1]
    done = [line for line in ledger_lines(tmp_path / "two") if line["status"] == "done"]
    assert all(line["host"] and line["cpu"] for line in done)
    assert statuses(run_cases(tmp_path / "two"))["s0"] == "skipped"


def test_a_case_that_kills_its_process_fails_alone_and_is_remembered(tmp_path):
    write_scans(tmp_path / "in")
    loader = ThresholdsLoader.of(tmp_path / "bundle")
    (tmp_path / "bundle" / "kill-16").touch()
    (tmp_path / "bundle" / "kill-20-once").touch()
    with process_executor(2, loader) as executor:
        report = run_with(executor, tmp_path, loader)
    assert statuses(report) == {f"s{n}": "failed" if n == 2 else "done" for n in range(5)}
    assert report.reasons() == {"killed the process": 1}
    assert not [name for name in files(tmp_path / "out") if "partial" in name]
    (tmp_path / "bundle" / "kill-16").unlink()
    assert statuses(run_cases(tmp_path))["s2"] == "failed"
    assert statuses(run_cases(tmp_path, retry_failed=True))["s2"] == "done"


def test_any_executor_will_do(tmp_path):
    scans = write_scans(tmp_path / "in", 3)
    loader = ThresholdsLoader.of(tmp_path / "bundle")
    with ThreadPoolExecutor(3) as executor:
        report = run_with(ProcessExecutor(executor, loader, 3), tmp_path, loader)
    assert report.exit_code == 0
    for scan in scans:
        assert (labels_of(tmp_path / "out" / scan.name) == reference_labels(scan)).all()


def test_a_network_that_cannot_be_loaded_is_said_once(tmp_path):
    write_scans(tmp_path / "in", 1)
    loader = ThresholdsLoader(ThresholdsLoader.of(tmp_path / "bundle").root, "other")
    with pytest.raises(BundleError, match="differs"), process_executor(2, loader):
        pass


def test_an_interrupt_abandons_processes_at_once(tmp_path):
    write_scans(tmp_path / "in")
    loader = ThresholdsLoader.of(tmp_path / "bundle")
    (tmp_path / "bundle" / "slow").write_text("60")

    class Impatient(NullListener):
        def case_started(self, _case, number):
            if number == 3:
                raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), process_executor(2, loader) as executor:
        run_with(executor, tmp_path, loader, listener=Impatient())
    assert time.monotonic() - began < 30
    assert files(tmp_path / "out") == ["ledger.jsonl"]
    stopped = [line["case"] for line in ledger_lines(tmp_path) if line["status"] == "failed"]
    assert stopped == ["s0", "s1"]
    (tmp_path / "bundle" / "slow").unlink()
    assert run_cases(tmp_path).exit_code == 0


def test_a_limit_leaves_the_rest_and_counts_only_work(tmp_path):
    write_scans(tmp_path / "in")
    report = run_cases(tmp_path, limit=2)
    assert statuses(report) == {"s0": "done", "s1": "done"}
    assert report.remaining == 3
    assert "3 left by --limit" in report.summary()
    assert statuses(run_cases(tmp_path, limit=2)) == {
        "s0": "skipped", "s1": "skipped", "s2": "done", "s3": "done"
    }  # fmt: skip
    with pytest.raises(InputError, match="1 or more"):
        run_cases(tmp_path, limit=0)


def test_cases_in_flight_beside_one_that_kills_this_process_are_not_blamed(tmp_path):
    write_scans(tmp_path / "in")
    loader = ThresholdsLoader.of(tmp_path / "bundle")
    (tmp_path / "bundle" / "kill-16").touch()
    deaths = 0
    for _ in range(6):
        child = os.fork()
        if child == 0:
            run_with(None, tmp_path, loader)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            break
        deaths += 1
    assert deaths == 2
    assert statuses(run_cases(tmp_path)) == {
        f"s{n}": "failed" if n == 2 else "skipped" for n in range(5)
    }
