"""The command line ``unet-med``: one file a command, parse → call → print → exit code."""

from __future__ import annotations

import argparse
import importlib
import io
import logging
import os
import signal
import sys
import threading
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

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
"""Modules here with ``add_parser(subparsers)``, which sets ``run(args) -> exit code``."""

EXIT_NOT_STARTED = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE

_EPILOG = "exit codes: 0 every case done, 1 some case failed, 2 nothing could start"


def build_parser(commands: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """Return the parser with all commands, or some; no command's libraries are loaded."""
    parser = argparse.ArgumentParser(
        prog="unet-med",
        description="Segment medical volumes slice by slice with a 2D U-Net, and say how well.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"unet-med {__version__}")
    parser.add_argument("--debug", action="store_true", help="show tracebacks and debug messages")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in commands:
        importlib.import_module(f"{__name__}.{name}").add_parser(subparsers)
    for command in subparsers.choices.values():  # --debug may stand before or after the command
        command.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
    return parser


def main(argv: Sequence[str] | None = None, *, standalone: bool = False) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name; None = those of the process.
        standalone: Whether the process runs this command and nothing else.

    Returns:
        0 every case done, 1 some case failed, 2 usage or nothing could start, 130 interrupted.
    """
    argv = sys.argv[1:] if argv is None else argv
    known = [name for name in COMMANDS if name in argv[:1]]  # describing the others takes time
    try:
        args = build_parser(known or COMMANDS).parse_args(argv)
    except SystemExit as exc:  # argparse has printed what is wrong, or the help
        return exc.code if isinstance(exc.code, int) else EXIT_NOT_STARTED
    args.standalone = standalone
    args.command_line = " ".join(["unet-med", *argv])
    if isinstance(sys.stdout, io.TextIOWrapper):  # names may hold what the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    with _logging_to_stderr(debug=args.debug), _sigterm_as_interrupt():
        return _run_guarded(args)


def _run_guarded(args: argparse.Namespace) -> int:
    """Run the command and turn what it raises into one line and an exit code."""
    code = EXIT_NOT_STARTED
    try:
        code = int(args.run(args))
        sys.stdout.flush()
    except UnetMedError as exc:
        _print_error(f"error: {exc}", debug=args.debug)
    except KeyboardInterrupt:
        _print_error(getattr(args, "on_interrupt", "stopped; nothing is left half written"))
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
