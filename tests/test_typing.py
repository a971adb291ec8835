"""Types as a user's script sees them: in a folder of its own, by mypy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import unet_med

SCRIPT = """\
import unet_med

reveal_type(unet_med.segment("scans", "masks", jobs=2))
reveal_type(unet_med.evaluate("p", "r").cases)
reveal_type(unet_med.load())
reveal_type(bool(unet_med.verify("a", "b")))
reveal_type(unet_med.inference.SlicePipeline)
unet_med.segment("scans", "masks", device="gpu")
unet_med.segment("scans", "masks", color="red")
unet_med.paint()
"""


def test_a_users_script_finds_the_types(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    settings = ("--follow-imports=silent", "--ignore-missing-imports", "--cache-dir=cache")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *settings, "script.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"MYPYPATH": str(Path(unet_med.__file__).parents[1]), "PATH": ""},
    )  # fmt: skip
    lines = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    said = "\n".join(lines)
    for name in ("batch.report.BatchReport", "segmenter.segmenter.Segmenter", "SlicePipeline"):
        assert f"unet_med.{name}" in said or name in said, done.stdout
    errors = [line for line in lines if line.startswith("error")]
    assert len(errors) == 3, done.stdout
    for error, word in zip(errors, ('"device"', '"color"', '"paint"'), strict=True):
        assert word in error


def test_the_wheel_says_that_it_is_typed():
    assert (Path(unet_med.__file__).parent / "py.typed").is_file()
