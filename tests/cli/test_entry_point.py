from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.batch_helpers import write_scan
from tests.volumes.dicom_builders import noise, orthonormal, write_series
from unet_med.cli.entry_point import hide_package

LOOK = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
from unet_med.cli import entry_point
entry_point.run()
"""


def command(*arguments, code=None):
    start = ["-m", "unet_med"] if code is None else ["-c", code]
    return subprocess.run(
        [sys.executable, *start, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_the_exit_code_and_all_output_arrive():
    assert command("--version").stdout.startswith("unet-med ")
    assert command("verify", "no.nii", "none.nii").returncode == 2
    told = command("segment", "nowhere", "--output", "out")
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.count("\n") == 1


def test_output_that_cannot_be_written_is_no_success():
    writer = f"{sys.executable} -m unet_med info >/dev/full; echo $?"
    done = subprocess.run(["bash", "-c", writer], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"


def test_dicom_is_read_and_written_as_ever(tmp_path):
    write_series(tmp_path / "in/exam", noise(), orthonormal(), Modality="MR")
    formats = ("--format", "dicom-seg")
    where = (tmp_path / "in/exam", "--output", tmp_path / "out")
    done = command("segment", *where, *formats, code=LOOK)
    assert done.returncode == 0, done.stderr
    assert "pydicom" in json.loads(done.stderr.splitlines()[-1])
    assert [path.suffix for path in (tmp_path / "out").glob("exam*.dcm")] == [".dcm"]


def test_what_ran_at_exit_still_runs_and_segment_loads_less(tmp_path):
    scan = write_scan(tmp_path / "in" / "a.nii.gz")
    done = command("segment", scan, "--output", tmp_path / "out", code=LOOK)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert {"nibabel", "openvino"} <= loaded
    unused = {"pydicom", "highdicom", "SimpleITK", "rich", "torch", "openvino.tools.ovc.convert"}
    assert not unused & loaded
    assert (tmp_path / "out" / "a.nii.gz").is_file()


def test_hidden_packages_come_back(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with hide_package("colorsys"), pytest.raises(ImportError):
        import colorsys
    import colorsys

    with hide_package("colorsys"):  # loaded already: nothing is taken away
        assert sys.modules["colorsys"] is colorsys
