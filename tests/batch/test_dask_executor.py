"""A Dask scheduler and its workers on the loopback device."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from tests.batch.test_executors import masks, run_with, write_scans
from tests.batch_helpers import ThresholdsLoader, files, ledger_lines, run_cases, statuses
from unet_med.batch import NullListener, dask_executor
from unet_med.errors import BundleError, ClusterError


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as running:
        yield running


@pytest.fixture
def address(cluster):
    """The scheduler's address, when both workers are there again."""
    cluster.wait_for_workers(2, timeout=60)
    return cluster.scheduler_address


def fingerprints(root):
    return {
        line["case"]: line["fingerprint"] for line in ledger_lines(root) if line["status"] == "done"
    }


def test_a_cluster_makes_the_same_masks_and_fingerprints_as_one_process(tmp_path, address):
    for name in ("one", "many"):
        write_scans(tmp_path / name / "in")
    run_cases(tmp_path / "one")
    root = tmp_path / "many"
    (root / "in" / "bad.nii").write_bytes(b"no scan")
    loader = ThresholdsLoader.of(root / "bundle")
    for expected in ("done", "skipped"):
        with dask_executor(address, loader) as executor:
            report = run_with(executor, root, loader)
        assert statuses(report) == {"bad": "failed"} | {f"s{n}": expected for n in range(5)}
    assert masks(root / "out") == masks(tmp_path / "one" / "out")
    assert fingerprints(root) == fingerprints(tmp_path / "one")
    assert all(line["cpu"] for line in ledger_lines(root) if line["status"] == "done")
    assert files(root / "out") == [*files(tmp_path / "one" / "out")]


def test_the_case_of_a_killed_worker_is_done_elsewhere_and_once(tmp_path, address):
    write_scans(tmp_path / "in")
    loader = ThresholdsLoader.of(tmp_path / "bundle")
    (tmp_path / "bundle" / "kill-16-once").touch()
    with dask_executor(address, loader) as executor:
        report = run_with(executor, tmp_path, loader)
    assert statuses(report) == {f"s{n}": "done" for n in range(5)}
    done = [line["case"] for line in ledger_lines(tmp_path) if line["status"] == "done"]
    assert sorted(done) == [f"s{n}" for n in range(5)]
    assert not [name for name in files(tmp_path / "out") if "partial" in name]


@pytest.mark.slow
def test_a_case_that_kills_every_worker_fails_and_the_others_are_done(tmp_path, address):
    write_scans(tmp_path / "in", 3)
    loader = ThresholdsLoader.of(tmp_path / "bundle")
    (tmp_path / "bundle" / "kill-16").touch()
    with dask_executor(address, loader) as executor:
        report = run_with(executor, tmp_path, loader)
    assert statuses(report) == {"s0": "done", "s1": "done", "s2": "failed"}
    assert report.reasons() == {"killed the process": 1}
    (tmp_path / "bundle" / "kill-16").unlink()
    assert statuses(run_cases(tmp_path))["s2"] == "failed"
    assert statuses(run_cases(tmp_path, retry_failed=True))["s2"] == "done"


def test_workers_without_the_bundle_are_refused_before_the_first_case(tmp_path, address):
    root = ThresholdsLoader.of(tmp_path / "bundle").root
    executor = dask_executor(address, ThresholdsLoader(root, "other"))
    with pytest.raises(BundleError, match=r"worker tcp.* cannot run this batch.*differs"), executor:
        pass


def test_an_address_without_a_scheduler_is_one_line(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("unet_med.batch.executors._CONNECT_S", 0.5)
    executor = dask_executor("tcp://127.0.0.1:9", ThresholdsLoader.of(tmp_path / "bundle"))
    with (
        pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        executor,
    ):
        pass


def test_an_interrupted_client_keeps_what_is_done(tmp_path, address):
    write_scans(tmp_path / "in")
    loader = ThresholdsLoader.of(tmp_path / "bundle")

    class Impatient(NullListener):
        def case_ended(self, _outcome):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), dask_executor(address, loader) as executor:
        run_with(executor, tmp_path, loader, listener=Impatient())
    done = [line for line in ledger_lines(tmp_path) if line["status"] == "done"]
    assert len(done) >= 1
    assert run_cases(tmp_path).exit_code == 0


def test_a_cluster_that_goes_away_ends_the_run_in_one_line(tmp_path):
    distributed = pytest.importorskip("distributed")
    write_scans(tmp_path / "in")
    loader = ThresholdsLoader.of(tmp_path / "bundle")
    (tmp_path / "bundle" / "slow").write_text("30")
    going = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    )
    threading.Timer(2, going.close).start()
    began = time.monotonic()
    with (
        pytest.raises(ClusterError, match="the same command goes on"),
        dask_executor(going.scheduler_address, loader) as executor,
    ):
        run_with(executor, tmp_path, loader)
    assert time.monotonic() - began < 60
    (tmp_path / "bundle" / "slow").unlink()
    assert run_cases(tmp_path).exit_code == 0
