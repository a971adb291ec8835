"""Feed damaged files to every loader: python benchmarks/fuzz.py --inputs 20000 --seed 0.

Runs the inputs in child processes of limited address space, so that a crash, a hang or a greedy
input is found, and named by its number. Prints a table and every fault; exit code 1 = faults.
"""

from __future__ import annotations

import argparse
import functools
import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.fuzz.harness import FuzzReport, feed
from tests.fuzz.targets import all_targets

CHUNK = 500
EXTRA_BYTES = 1 << 30
"""What a child may allocate beyond what its libraries take."""


def run_chunk(start: int, stop: int, seed: int) -> tuple[FuzzReport, int]:
    """Feed one range of inputs; return how they ended and the growth of memory in KiB."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        targets = all_targets(Path(folder))
        feed(targets, range(20), Path(folder) / "warm", seed=-1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + EXTRA_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        report = feed(targets, range(start, stop), Path(folder) / "in", seed=seed)
        return report, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def _in_child(span: tuple[int, int], *, seed: int) -> tuple[FuzzReport, int] | None:
    """Run one range in a process of its own; None = it died."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(run_chunk, *span, seed).result()
        except BrokenProcessPool:
            return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    began, total, growth = time.monotonic(), FuzzReport(), 0
    ranges = [(n, min(n + CHUNK, args.inputs)) for n in range(0, args.inputs, CHUNK)]
    run = functools.partial(_in_child, seed=args.seed)
    with ThreadPoolExecutor(args.jobs) as threads:
        for span, result in zip(ranges, threads.map(run, ranges), strict=True):
            if result is None:
                total.faults.append(f"inputs {span} of seed {args.seed} killed their process")
                continue
            report, grown = result
            total.outcomes += report.outcomes
            total.faults += report.faults
            total.slowest = max(total.slowest, report.slowest)
            growth = max(growth, grown)
    print(total)
    print(f"memory of a child grew by {growth / 1024:.0f} MiB at most")
    print(f"{sum(total.outcomes.values())} inputs in {time.monotonic() - began:.0f} s")
    for fault in total.faults:
        print(fault[:3000])
    return 1 if total.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
