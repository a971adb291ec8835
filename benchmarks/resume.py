"""What it costs to begin again when thousands of cases are done.

Run: ``python benchmarks/resume.py --cases 5000``. One case is made; the others are links to its
scan with copies of its mask, and a ledger that says they are done. Then the same command runs
again: it finds the cases, reads the ledger, and reads every scan and every mask once to see that
they are what they were. The scans lie in the page cache, so this is the processor's share.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from unet_med import api
from unet_med.batch import NullListener, Status, find_cases
from unet_med.batch.ledger import LEDGER_NAME, read_ledger


class Clock(NullListener):
    """When the first and the last case ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def case_ended(self, _outcome: object) -> None:
        """Look at the clock."""
        self.ends.append(time.perf_counter())


def multiply(root: Path, n_cases: int) -> None:
    lines = [json.loads(line) for line in (root / "out" / LEDGER_NAME).read_text().splitlines()]
    with (root / "out" / LEDGER_NAME).open("a") as ledger:
        for number in range(1, n_cases):
            name = f"s{number:06d}"
            os.link(root / "in" / "s000000.nii.gz", root / "in" / f"{name}.nii.gz")
            for ending in (".nii.gz", ".json"):
                shutil.copyfile(root / "out" / f"s000000{ending}", root / "out" / f"{name}{ending}")
            for line in lines:
                ledger.write(json.dumps({**line, "case": name, "output": f"{name}.nii.gz"}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--shape", default="128x128x48")
    args = parser.parse_args()
    shape = tuple(int(part) for part in args.shape.split("x"))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "in").mkdir()
        values = np.random.default_rng(0).normal(100, 30, shape).astype(np.int16)
        nib.save(nib.Nifti1Image(values, np.diag([1, 1, 3, 1])), root / "in" / "s000000.nii.gz")
        options = {"device": "cpu", "threads": 1}
        api.segment(root / "in", root / "out", **options)
        multiply(root, args.cases)
        scan = (root / "in" / "s000000.nii.gz").stat().st_size / 1e6
        start = time.perf_counter()
        find_cases([root / "in"], n_channels=1, output=root / "out")
        found = time.perf_counter()
        read_ledger(root / "out")
        read = time.perf_counter()
        clock = Clock()
        report = api.segment(root / "in", root / "out", listener=clock, **options)
        ended = time.perf_counter()
    assert report.count(Status.SKIPPED) == args.cases
    begun = clock.ends[0] - read
    deciding = clock.ends[-1] - clock.ends[0]
    print(
        f"{args.cases} cases of {scan:.2f} MB, all done: find {found - start:.2f} s, "
        f"ledger {read - found:.2f} s; whole run {ended - read:.2f} s: to the first case "
        f"{begun:.2f} s, deciding {deciding:.2f} s = {1000 * deciding / args.cases:.2f} ms a "
        f"case ({args.cases * scan / deciding:.0f} MB/s)"
    )


if __name__ == "__main__":
    main()
