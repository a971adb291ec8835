from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys

import pytest

from unet_med._version import __version__
from unet_med.cli import COMMANDS, main


def fresh(*arguments, code="from unet_med.cli import main; main({})", **options):
    """Run in a process of its own and return which of the heavy packages it loaded."""
    script = (
        f"import sys\n{code.format(list(arguments))}\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, **options
    )
    loaded = done.stderr.strip().splitlines()[-1]
    return {
        name
        for name in ("torch", "monai", "numpy", "scipy", "nibabel", "rich", "SimpleITK", "pydicom")
        if f"'{name}'" in loaded
    }


def test_the_package_and_the_help_load_nothing_heavy():
    assert fresh(code="import unet_med") == set()
    assert fresh("--help") == set()
    assert fresh("--version") == set()
    for command in COMMANDS:
        assert fresh(command, "--help") == set()


def test_scoring_and_verifying_need_no_torch(tmp_path):
    from tests.batch_helpers import write_scan

    mask = str(write_scan(tmp_path / "a.nii.gz"))
    assert fresh("verify", mask, mask) & {"torch", "monai"} == set()
    assert fresh("info", mask) & {"torch", "monai"} == set()
    evaluate = ("evaluate", "--predictions", mask, "--references", mask, "--output", str(tmp_path))
    assert fresh(*evaluate) & {"torch", "monai"} == set()


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"unet-med {__version__}\n"
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {command}" in text for command in COMMANDS)


def test_no_command_prints_the_help_and_is_exit_2(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert err == ""
    assert all(f"  {command}" in out for command in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["segmnet", "a"], "did you mean segment?"),
        (["--debug", "evalute"], "did you mean evaluate?"),
        (["segment", "a", "--ouput", "b"], "did you mean --output?"),
        (["segment", "a", "-o", "b", "--overwite"], "did you mean --overwrite?"),
        (["segment", "a", "-o", "b", "--over"], "segment has no option --over;"),
        (["xyz"], "there is no command 'xyz'; unet-med --help lists all"),
    ],
)
def test_a_mistyped_word_gets_a_suggestion(arguments, meant, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert meant in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["paint"], ["segment"], ["segment", "a", "--threads"]])
def test_usage_errors_exit_with_2(arguments, capsys):
    assert main(arguments) == 2
    assert "error:" in capsys.readouterr().err


def test_an_error_is_one_line_and_exit_code_2(capsys):
    assert main(["verify", "no.nii", "none.nii"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("unet-med: error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--debug", "verify", "a", "b"], ["verify", "a", "b", "--debug"]]
)
def test_debug_shows_the_traceback_wherever_it_stands(arguments, capsys):
    assert main(arguments) == 2
    assert "Traceback" in capsys.readouterr().err


def test_the_unexpected_is_one_line_that_says_how_to_see_more(monkeypatch, capsys):
    from unet_med.cli import info

    def fail(**_options):
        msg = "no such luck"
        raise ZeroDivisionError(msg)

    monkeypatch.setattr(info, "info", fail)
    assert main(["info"]) == 2
    err = capsys.readouterr().err
    assert err == (
        "unet-med: error: unexpected ZeroDivisionError: no such luck; "
        "run again with --debug to see where\n"
    )


def test_an_interrupt_is_one_line_and_130(monkeypatch, capsys):
    from unet_med.cli import info

    def interrupt(**_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(info, "info", interrupt)
    assert main(["info"]) == 130
    said = capsys.readouterr().err
    assert said.startswith("unet-med: stopped")
    assert "goes on" not in said, "of info there is no rest"


def test_logging_is_left_as_it_was():
    package = logging.getLogger("unet_med")
    before = (package.level, list(package.handlers))
    main(["--debug", "verify", "a", "b"])
    assert (package.level, list(package.handlers)) == before


def test_a_reader_that_goes_away_causes_no_traceback(tmp_path):
    from tests.batch_helpers import write_scan

    scan = write_scan(tmp_path / "a.nii.gz")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "unet_med", "info", str(scan)],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_python_m_is_the_same_program():
    done = subprocess.run(
        [sys.executable, "-m", "unet_med", "verify", "a", "b", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(done.stdout)


def test_termination_stops_a_run_as_orderly_as_an_interrupt(monkeypatch, capsys):
    from unet_med.cli import info

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(info, "info", lambda **_options: signal.raise_signal(signal.SIGTERM))
    assert main(["info"]) == 130
    assert capsys.readouterr().err.startswith("unet-med: stopped")
    assert signal.getsignal(signal.SIGTERM) is before
