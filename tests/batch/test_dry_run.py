from __future__ import annotations

import pytest

from tests.batch_helpers import (
    ThresholdsLoader,
    files,
    make_segmenter,
    run_cases,
    write_scan,
)
from unet_med.batch import BatchSettings, Destination, dry_run_batch, find_cases, run_batch
from unet_med.batch.ledger import LedgerEntry, Status, open_ledger


@pytest.fixture
def loader(tmp_path):
    return ThresholdsLoader.of(tmp_path / "bundle")


def dry_run(tmp_path, loader, **settings):
    cases = find_cases([tmp_path / "in"], n_channels=1, output=tmp_path / "out")
    return dry_run_batch(
        cases,
        Destination(tmp_path / "out"),
        segmenter=loader,
        settings=BatchSettings(**settings),
    )


def details(report):
    return {
        outcome.case.key: (str(outcome.status), outcome.detail or outcome.error)
        for outcome in report.outcomes
    }


def test_nothing_is_written_and_the_run_does_what_was_said(tmp_path, loader):
    write_scan(tmp_path / "in" / "a.nii.gz")
    (tmp_path / "in" / "bad.nii").write_bytes(b"no scan")
    report = dry_run(tmp_path, loader)
    assert report.count(Status.PENDING) == 1
    assert (report.count(Status.FAILED), report.exit_code) == (1, 1)
    assert details(report)["a"] == ("pending", "new")
    assert not (tmp_path / "out").exists()
    assert "1 to be done" in report.summary()
    run_cases(tmp_path)
    before = files(tmp_path / "out"), (tmp_path / "out" / "ledger.jsonl").read_bytes()
    assert details(dry_run(tmp_path, loader))["a"] == ("skipped", "up to date")
    assert before == (files(tmp_path / "out"), (tmp_path / "out" / "ledger.jsonl").read_bytes())


def test_why_a_case_would_be_done_again(tmp_path, loader):
    names = ("same", "scan", "gone", "edited", "moved")
    for n, name in enumerate(names):
        write_scan(tmp_path / "in" / f"{name}.nii.gz", seed=n)
    run_cases(tmp_path)
    write_scan(tmp_path / "in" / "scan.nii.gz", seed=9)
    (tmp_path / "out" / "gone.nii.gz").unlink()
    (tmp_path / "out" / "edited.nii.gz").write_bytes(b"by hand")
    write_scan(tmp_path / "in" / "new.nii.gz")
    write_scan(tmp_path / "in" / "moved.nii.gz", seed=10)
    (tmp_path / "out" / "moved.json").unlink()
    with open_ledger(tmp_path / "out", exclusive=True) as ledger:
        write_scan(tmp_path / "in" / "begun.nii.gz")
        ledger.append(LedgerEntry("begun", "begun.nii.gz", Status.STARTED, fingerprint="x"))
    found = details(dry_run(tmp_path, loader))
    assert "changed since it was written" in found.pop("edited")[1]
    assert found == {
        "same": ("skipped", "up to date"),
        "scan": ("pending", "changed: the scan"),
        "gone": ("pending", "its mask is gone"),
        "moved": ("pending", "it was made from something else"),
        "new": ("pending", "new"),
        "begun": ("pending", "was not finished"),
    }
    assert details(dry_run(tmp_path, loader, overwrite=True))["same"] == (
        "pending", "asked for by --overwrite"
    )  # fmt: skip


def test_a_changed_bundle_option_or_version_redoes_what_it_touches(tmp_path, monkeypatch):
    write_scan(tmp_path / "in" / "a.nii.gz")
    run_cases(tmp_path)
    cases = find_cases([tmp_path / "in"], n_channels=1, output=tmp_path / "out")

    def look(segmenter):
        return details(
            dry_run_batch(
                cases,
                Destination(tmp_path / "out"),
                segmenter=segmenter,
                settings=BatchSettings(),
            )
        )["a"]

    assert look(make_segmenter(tmp_path / "bundle")) == ("skipped", "up to date")
    assert look(make_segmenter(tmp_path / "bundle", precision="bf16"))[1] == "changed: options"
    # torch's last bits depend on the threads, openvino's do not: there they are no other work
    assert look(make_segmenter(tmp_path / "bundle", threads=2))[1] == "changed: options"
    for threads in (1, 2):
        segmenter = make_segmenter(tmp_path / "bundle", backend="openvino", threads=threads)
        report = run_batch(
            cases, Destination(tmp_path / "out"), segmenter=segmenter, settings=BatchSettings()
        )
        assert str(report.outcomes[0].status) == ("done" if threads == 1 else "skipped")
    (tmp_path / "bundle" / "models" / "model.pt").write_bytes(b"other")
    other = make_segmenter(tmp_path / "bundle", backend="openvino")
    assert look(other)[1] == "changed: the bundle"
    monkeypatch.setattr("unet_med.batch.task.__version__", "99")
    monkeypatch.setattr("unet_med.batch.dry_run.__version__", "99")
    assert look(other)[1] == "changed: the bundle, the version"


def test_a_limit_is_of_cases_to_be_done(tmp_path, loader):
    for n in range(4):
        write_scan(tmp_path / "in" / f"s{n}.nii.gz", seed=n)
    run_cases(tmp_path, limit=1)
    report = dry_run(tmp_path, loader, limit=2)
    assert [str(o.status) for o in report.outcomes] == ["skipped", "pending", "pending"]
    assert report.remaining == 1
