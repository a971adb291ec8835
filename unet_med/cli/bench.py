"""``unet-med bench``: how fast each way of running is on this machine."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from unet_med.cli.stderr import say
from unet_med.cli.words import counted

if TYPE_CHECKING:
    from unet_med.bench.run import BenchResult, Row

_DESCRIPTION = """\
Time every backend and precision that the bundle has models for, on whole slices and on windows,
beside MONAI's SliceInferer (256 x 256 windows, overlap 0.25, Gaussian; and whole slices) with the
same weights. All ways have their turn in every round of one run, so that their ratios hold on a
busy machine. Memory is the peak of a process of its own for each way."""

_COLUMNS = ("way", "ms/slice", "fastest", "GFLOP/s", "of peak", "speed-up", "memory MB")
_MEBI = 1 << 20


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "bench", help="time every backend and precision here", description=_DESCRIPTION
    )
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="default: the one shipped")
    parser.add_argument(
        "--size", type=parse_size, default=(512, 512), metavar="HxW", help="default: 512x512"
    )
    parser.add_argument("--slices", type=int, default=2, metavar="N", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads; default: all")
    parser.add_argument("--no-memory", action="store_true", help="leave the memory column out")
    parser.add_argument("--json", action="store_true", help="print JSON, nothing else")
    parser.set_defaults(run=run)


def parse_size(text: str) -> tuple[int, int]:
    """Parse ``512x384`` as rows and columns."""
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        msg = f"{text!r} is no size; write rows x columns, for example 512x512"
        raise argparse.ArgumentTypeError(msg)
    return int(height), int(width)


def run(args: argparse.Namespace) -> int:
    """Time, and print the table."""
    from unet_med.bench.run import BenchSettings, run_bench
    from unet_med.bundle import open_bundle

    settings = BenchSettings(
        size=args.size,
        n_slices=args.slices,
        rounds=args.rounds,
        threads=args.threads,
        memory=not args.no_memory,
    )
    result = run_bench(open_bundle(args.bundle), settings, say=say)
    if args.json:
        print(json.dumps(result.as_dict(), indent=2))
    else:
        print_table(result)
    return 0


def print_table(result: BenchResult) -> None:
    """Print the table as aligned text."""
    height, width = result.size
    peaks = ", ".join(
        f"{name} {speed:.0f}" for name, speed in result.matrix_gflop_per_second.items()
    )
    print(f"{result.processor}, {counted(result.threads, 'thread')}")
    print(
        f"{height} x {width}, {result.gflop_per_slice:.1f} GFLOP a slice, "
        f"{counted(result.n_slices, 'slice')}, median of {counted(result.rounds, 'round')}"
    )
    print(f"matrix product, GFLOP/s: {peaks}; of peak: against the same precision's")
    table = [_COLUMNS, *(_cells(row) for row in result.rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        numbers = [cell.rjust(wide) for cell, wide in zip(cells[1:], widths[1:], strict=True)]
        print("  ".join([cells[0].ljust(widths[0]), *numbers]))
    for row in result.rows:
        if row.reason:
            print(f"{row.way.name}: {row.reason}")


def _cells(row: Row) -> tuple[str, ...]:
    if row.seconds_per_slice is None or row.fastest is None:
        return (row.way.name, *["-"] * (len(_COLUMNS) - 1))
    memory = row.peak_memory_bytes
    return (
        row.way.name,
        f"{row.seconds_per_slice * 1e3:.1f}",
        f"{row.fastest * 1e3:.1f}",
        f"{row.gflop_per_second:.0f}",
        "-" if row.share_of_peak is None else f"{row.share_of_peak:.2f}",
        f"{row.speedup:.1f}x",
        f"{memory / _MEBI:.0f}" if memory else "-",
    )
