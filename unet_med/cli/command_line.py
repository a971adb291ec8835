"""Run ``unet-med``: choose the command, parse, call, and turn errors into exit codes."""

from __future__ import annotations

import argparse
import difflib
import importlib
import io
import logging
import os
import shlex
import signal
import sys
import threading
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from unet_med._version import __version__
from unet_med.errors import UnetMedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COMMANDS = (
    "segment",
    "evaluate",
    "calibrate",
    "report",
    "train",
    "plan",
    "verify",
    "info",
    "demo",
    "export",
)
"""Modules of `unet_med.cli` with ``COMMAND`` and ``run(args, options) -> exit code``."""

EXIT_NOT_STARTED = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE

_EPILOG = "exit codes: 0 every case done, 1 some case failed, 2 nothing could start"


def build_parser(commands: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """Return the parser with all commands, or some; no command's libraries are loaded.

    Example:
        >>> build_parser(["verify"]).parse_args(["verify", "scan.nii", "mask.nii"]).scan.name
        'scan.nii'
    """
    parser = argparse.ArgumentParser(
        prog="unet-med",
        description="Segment medical volumes slice by slice with a 2D U-Net, and say how well.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"unet-med {__version__}")
    parser.add_argument("--debug", action="store_true", help="show tracebacks and debug messages")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in commands:
        _module(name).COMMAND.add_parser(subparsers.add_parser)
    return parser


def main(argv: Sequence[str] | None = None, *, standalone: bool = False) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name; None = those of the process.
        standalone: Whether the process runs this command and nothing else.

    Returns:
        0 every case done, 1 some case failed, 2 usage or nothing could start (also when no
        command is given, which prints the help), 130 interrupted.

    Example:
        >>> main(["--version"])
        unet-med 0.1.0
        0
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names may hold what the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    if not argv:
        build_parser().print_help()
        return EXIT_NOT_STARTED
    words = argv[1:] if argv[0] == "--debug" else argv
    word = next(iter(words), "-")
    mistake = _mistake(word, words[1:])
    if mistake is not None:
        _print_error(f"error: {mistake}")
        return EXIT_NOT_STARTED
    try:  # describing the other commands takes time
        args = build_parser([word] if word in COMMANDS else COMMANDS).parse_args(argv)
    except SystemExit as exc:  # argparse has printed what is wrong, or the help
        return exc.code if isinstance(exc.code, int) else EXIT_NOT_STARTED
    args.standalone = standalone
    args.command_line = shlex.join(
        ["unet-med", *(word for word in argv if word not in ("--json", "--debug"))]
    )
    with _logging_to_stderr(debug=args.debug), _sigterm_as_interrupt():
        return _run_guarded(args)


def _module(command: str) -> Any:  # noqa: ANN401 - a module of a command
    return importlib.import_module(f"unet_med.cli.{command}")


def _mistake(word: str, more: Sequence[str]) -> str | None:
    """Say what a mistyped command or option may have meant; None when there is no mistake."""
    if word.startswith("-"):
        return None
    if word not in COMMANDS:
        return f"there is no command {word!r}{_nearest(word, COMMANDS)}; unet-med --help lists all"
    known = _module(word).COMMAND.option_names()
    options = more[: more.index("--")] if "--" in more else more
    for option in (one.partition("=")[0] for one in options if one.startswith("--")):
        if option not in known and option != "--":
            hint = f"; unet-med {word} --help lists all"
            return f"{word} has no option {option}{_nearest(option, known)}{hint}"
    return None


def _nearest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _run_guarded(args: argparse.Namespace) -> int:
    """Run the command and turn what it raises into one line and an exit code."""
    code = EXIT_NOT_STARTED
    try:
        command = args.command
        code = int(_module(command.name).run(args, command.options_of(args)))
        sys.stdout.flush()
    except UnetMedError as exc:
        _print_error(f"error: {exc}", debug=args.debug)
    except KeyboardInterrupt:
        _print_error(args.command.on_interrupt)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of the output has gone, as in `unet-med info | head`
        _discard_stdout()
        code = EXIT_BROKEN_PIPE
    except Exception as exc:  # noqa: BLE001 - nobody should have to read a traceback unasked
        hint = "" if args.debug else "; run again with --debug to see where"
        _print_error(f"error: unexpected {type(exc).__name__}: {exc}{hint}", debug=args.debug)
    return code


def _print_error(text: str, *, debug: bool = False) -> None:
    if debug:
        traceback.print_exc()
    with suppress(OSError):
        print(f"unet-med: {' '.join(text.split())}", file=sys.stderr)


def _discard_stdout() -> None:
    """Let the interpreter flush into nothing at exit, or it would complain."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM, by which schedulers end a job, stop a run as orderly as Ctrl-C does."""

    def interrupt(*_signal_and_frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _StderrHandler(logging.Handler):
    """Writes to the standard error of the moment, which a progress bar may have taken over."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            kind = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
            print(f"unet-med: {kind}{self.format(record)}", file=sys.stderr)


@contextmanager
def _logging_to_stderr(*, debug: bool) -> Iterator[None]:
    """Show the package's warnings, or with ``debug`` everything, while a command runs."""
    package = logging.getLogger("unet_med")
    handler, level = _StderrHandler(), package.level
    package.addHandler(handler)
    package.setLevel(logging.DEBUG if debug else logging.WARNING)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)
