from __future__ import annotations

import json
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import PurePosixPath

import nibabel as nib
import numpy as np
import pytest

from tests.batch_helpers import write_scan
from tests.bundles import make_bundle
from unet_med.batch import Case, Outcome, Status
from unet_med.cli import main
from unet_med.cli.progress import BarProgress
from unet_med.segmenter import load_segmenter
from unet_med.volumes import verify_mask

FIXED = ("--threads", "1", "--device", "cpu")


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "bundle")


def segment(tmp_path, *more):
    return main(
        ["segment", str(tmp_path / "in"), "--output", str(tmp_path / "out"),
         "--bundle", str(tmp_path / "bundle"), *FIXED, *more]
    )  # fmt: skip


def test_a_folder_with_a_bad_file(tmp_path, bundle, capsys):
    scan = write_scan(tmp_path / "in" / "sub" / "a.nii.gz", shape=(21, 18, 5))
    (tmp_path / "in" / "bad.nii.gz").write_bytes(b"no scan")
    assert segment(tmp_path) == 1
    out, err = capsys.readouterr()
    assert out == f"1 done, 1 failed; ledger {tmp_path}/out/ledger.jsonl\n"
    lines = err.splitlines()
    assert lines[0] == "2 cases: one per file"
    assert lines[1].startswith("torch fp32 on cpu, 1 thread: ")
    assert lines[2].startswith("[1/2] bad: FAILED: ")
    assert lines[3].startswith("[2/2] sub/a: done in ")
    assert len(lines) == 4
    mask = tmp_path / "out" / "sub" / "a.nii.gz"
    assert verify_mask(scan, mask) == []
    expected = load_segmenter(bundle, threads=1, device="cpu").segment(scan)
    np.testing.assert_array_equal(np.asarray(nib.load(mask).dataobj), expected.labels)
    (tmp_path / "in" / "bad.nii.gz").unlink()
    assert segment(tmp_path) == 0
    assert "[1/1] sub/a: up to date" in capsys.readouterr().err


@pytest.mark.usefixtures("bundle")
def test_a_doubt_about_a_scan_is_said_once(tmp_path, capsys):
    scan = write_scan(tmp_path / "in" / "a.nii.gz")
    image = nib.load(scan)
    image.set_qform(np.diag([9.0, 9, 9, 1]), 1)
    nib.save(image, tmp_path / "in" / "a.nii.gz")
    assert segment(tmp_path) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "disagree" in line]
    assert len(said) == 1
    assert said[0].startswith("[1/1] a: warning: sform and qform disagree by up to")


@pytest.mark.usefixtures("bundle")
def test_json_is_all_there_is_on_standard_output(tmp_path, capsys):
    write_scan(tmp_path / "in" / "a.nii.gz")
    (tmp_path / "in" / "bad.nii").write_bytes(b"no scan")
    assert segment(tmp_path, "--json") == 1
    content = json.loads(capsys.readouterr().out)
    assert (content["done"], content["failed"], content["exit_code"]) == (1, 1, 1)
    done, failed = content["cases"]
    assert done["mask"] == str(tmp_path / "out" / "a.nii.gz")
    assert set(done["volumes_ml"]) == {"one", "two"}
    assert failed["mask"] is None
    assert failed["error"]
    assert content["execution"]["precision"] == "fp32"


@pytest.mark.usefixtures("bundle")
def test_the_command_line_is_in_the_sidecar(tmp_path):
    write_scan(tmp_path / "in" / "a.nii.gz")
    segment(tmp_path)
    sidecar = json.loads((tmp_path / "out" / "a.json").read_text())
    assert sidecar["command_line"].startswith(f"unet-med segment {tmp_path}/in --output ")


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (("--bundle", "nowhere"), "no bundle folder at nowhere"),
        (("--threads", "0"), "threads must be at least 1"),
        (("--channel", "-1"), "counted from 0"),
    ],
)
@pytest.mark.usefixtures("bundle")
def test_what_cannot_start_leaves_nothing(tmp_path, capsys, more, text):
    write_scan(tmp_path / "in" / "a.nii.gz")
    assert segment(tmp_path, *more) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert text in err
    assert not (tmp_path / "out").exists()


def test_a_foreign_bundle_is_refused(tmp_path, capsys):
    write_scan(tmp_path / "in" / "a.nii.gz")
    (tmp_path / "bundle" / "configs").mkdir(parents=True)
    (tmp_path / "bundle" / "configs" / "metadata.json").write_text("{}")
    assert segment(tmp_path) == 2
    assert "bundle of another program" in capsys.readouterr().err


def test_weights_that_were_changed_are_refused(tmp_path, bundle, capsys):
    write_scan(tmp_path / "in" / "a.nii.gz")
    weights = bundle / "models" / "model.pt"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert segment(tmp_path) == 2
    assert "model.pt" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("bundle")
def test_no_input_is_2_and_names_what_is_near(tmp_path, capsys):
    (tmp_path / "ins").mkdir()
    assert segment(tmp_path) == 2
    assert "did you mean ins?" in capsys.readouterr().err


@pytest.mark.usefixtures("bundle")
def test_channel_and_frames_exclude_each_other(tmp_path):
    assert segment(tmp_path, "--channel", "1", "--frames") == 2


@pytest.mark.usefixtures("bundle")
def test_a_4d_scan_needs_a_choice(tmp_path, capsys):
    write_scan(tmp_path / "in" / "a.nii.gz", shape=(6, 5, 4, 2))
    assert segment(tmp_path) == 1
    assert "--channel N" in capsys.readouterr().err
    assert segment(tmp_path, "--frames") == 0
    assert (tmp_path / "out" / "a_frame0001.nii.gz").is_file()


def test_bars_on_a_terminal_say_what_failed():
    from rich.console import Console
    from rich.progress import Progress

    from unet_med.backends import Execution

    screen = StringIO()
    case = Case("a" * 60, PurePosixPath("sub"), ())
    with Progress(console=Console(file=screen, force_terminal=True, width=100)) as progress:
        bars = BarProgress(progress)
        how = Execution("torch", "fp32", "cpu", 1, "for a test")
        bars.batch_started(1, rule="one per file", execution=how)
        bars.case_started(case, 1)
        bars.case_progress(2, 4)
        assert [(task.completed, task.total) for task in progress.tasks] == [(0, 1), (2, 4)]
        bars.case_ended(Outcome(case, Status.FAILED, case.relative_folder, error="too [bad]"))
        assert progress.tasks[0].completed == 1
    assert f"{'a' * 39}" in screen.getvalue()
    assert "FAILED: too [bad]" in screen.getvalue()


@pytest.mark.usefixtures("bundle")
def test_names_that_are_no_text_are_segmented_too(tmp_path, monkeypatch):
    scan = write_scan(tmp_path / "in" / "a.nii.gz")
    scan.rename(tmp_path / "in" / "\udcff \u0416\n.nii.gz")
    screen = TextIOWrapper(BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", screen)
    assert segment(tmp_path, "--output", str(tmp_path / "out\udcff")) == 0
    assert screen.buffer.getvalue().startswith(b"1 done; ledger ")
    assert (tmp_path / "out\udcff" / "\udcff \u0416\n.nii.gz").is_file()


@pytest.mark.usefixtures("bundle")
def test_a_dry_run_says_what_and_why_and_writes_nothing(tmp_path, capsys):
    write_scan(tmp_path / "in" / "a.nii.gz")
    assert segment(tmp_path, "--dry-run") == 0
    out, err = capsys.readouterr()
    assert "[1/1] a: to be done: new" in err
    assert out.startswith("1 to be done; ledger ")
    assert not (tmp_path / "out").exists()
    assert segment(tmp_path) == 0
    capsys.readouterr()
    assert segment(tmp_path, "--dry-run", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["pending"], content["skipped"]) == (0, 1)


@pytest.mark.usefixtures("bundle")
def test_the_summary_counts_reasons_stages_and_pace(tmp_path, capsys):
    for n in range(2):
        write_scan(tmp_path / "in" / f"s{n}.nii.gz", seed=n)
    (tmp_path / "in" / "bad.nii").write_bytes(b"no scan")
    assert segment(tmp_path, "--limit", "1", "--json") == 1
    content = json.loads(capsys.readouterr().out)
    assert (content["done"], content["failed"], content["remaining"]) == (1, 1, 1)
    assert content["failed_by_reason"] == {"scan cannot be read": 1}
    assert {"network", "write", "total"} <= set(content["seconds"])
    assert content["elapsed_s"] > 0
    milliseconds = pytest.approx(3600 / content["done_per_hour"], abs=0.00051)
    assert content["elapsed_s"] == milliseconds  # written with three decimals


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (("--jobs", "0"), "is no number of processes; write 1 or more"),
        (("--jobs", "2", "--dask", "tcp://127.0.0.1:9"), "give only one of them"),
        (("--watch", "--dry-run"), "give only one of them"),
        (("--watch", "--limit", "3"), "a watch takes no --limit"),
        (("--watch", "--stable-seconds", "-1"), "a watch takes no --limit"),
        (("--limit", "0"), "1 or more"),
    ],
)
@pytest.mark.usefixtures("bundle")
def test_options_of_a_batch_that_cannot_be(tmp_path, capsys, more, text):
    write_scan(tmp_path / "in" / "a.nii.gz")
    assert segment(tmp_path, *more) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
