"""A long batch with broken files: nothing lost, memory flat, and how busy the network is.

Run: ``python benchmarks/soak.py`` (1,000 small scans, 50 broken files; shipped bundle, one
thread), then ``python benchmarks/soak.py --cases 24 --broken 0 --shape 192x192x32`` for scans
where the network dominates. "Bare" replays the same network calls alone, before and after the
batch, and the share is bare seconds ÷ the batch's seconds, from the first case to the last flush.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from unet_med.batch import BatchSettings, Destination, NullListener, Status, find_cases, run_batch
from unet_med.segmenter import load_segmenter

HUNDRED = 100
AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])


def write_scan(path: Path, shape: tuple[int, ...], seed: int) -> None:
    dice = np.random.default_rng(seed)
    x = np.linspace(-1.3, 1.3, shape[0])[:, None, None]
    y = np.linspace(-1.3, 1.3, shape[1])[None, :, None]
    head = 600.0 * (x**2 + y**2 < 1) * np.ones(shape)
    values = (head + dice.normal(100, 30, shape)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, AFFINE), path)


def write_broken(folder: Path, count: int) -> None:
    """Files that are wrong in ten ways, five bytes or a header at a time."""
    good = folder / "s0000.nii.gz"
    data = good.read_bytes()
    plain = bytearray(gzip.decompress(data))
    nan = bytearray(plain)
    nan[280:284] = np.float32(np.nan).tobytes()  # srow_x[0]
    huge = bytearray(plain)
    huge[42:44] = np.int16(32767).tobytes()  # dim[1]
    negative = bytearray(plain)
    negative[44:46] = np.int16(-5).tobytes()  # dim[2]
    kinds = {
        "empty.nii": b"",
        "text.nii": b"this is no scan",
        "cut.nii.gz": data[: len(data) // 2],
        "short.nii": bytes(plain[: len(plain) // 2]),
        "nan.nii": bytes(nan),
        "huge.nii": bytes(huge),
        "negative.nii": bytes(negative),
        "nogzip.nii.gz": bytes(plain[:500]),
        "header.nii": bytes(plain[:200]),
    }
    for number in range(count):
        name, content = list(kinds.items())[number % len(kinds)]
        (folder / f"broken{number:03d}_{name}").write_bytes(content)


class Recorder:
    """A predictor that remembers the shapes of its calls, to replay them."""

    def __init__(self, predictor: object) -> None:
        self.predictor = predictor
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, slices: np.ndarray) -> np.ndarray:
        """Run the network."""
        self.shapes.append(slices.shape)
        return self.predictor(slices)  # type: ignore[operator]

    def __getattr__(self, name: str) -> object:
        return getattr(self.predictor, name)

    def replay(self) -> float:
        """Return the seconds that the same calls take alone."""
        dice = np.random.default_rng(0)
        made = {shape: dice.normal(size=shape).astype(np.float32) for shape in set(self.shapes)}
        start = time.perf_counter()
        for shape in self.shapes:
            self.predictor(made[shape])  # type: ignore[operator]
        return time.perf_counter() - start


class Memory(NullListener):
    """Resident megabytes after each case."""

    def __init__(self) -> None:
        self.mb: list[float] = []

    def case_ended(self, _outcome: object) -> None:
        """Remember what is resident now."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.mb.append(pages * resource.getpagesize() / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--broken", type=int, default=50)
    parser.add_argument("--shape", default="64x64x16")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    shape = tuple(int(part) for part in args.shape.split("x"))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "in").mkdir()
        for number in range(args.cases):
            write_scan(root / "in" / f"s{number:04d}.nii.gz", shape, number)
        write_broken(root / "in", args.broken)
        soak(root, args)


def soak(root: Path, args: argparse.Namespace) -> None:
    loaded = load_segmenter(device="cpu", threads=args.threads)
    recorder = Recorder(loaded.predictor)
    segmenter = replace(loaded, predictor=recorder)
    loaded.segment(root / "in" / "s0000.nii.gz")  # warm
    memory = Memory()
    start = time.perf_counter()
    cases = find_cases([root / "in"], n_channels=1, output=root / "out")
    report = run_batch(
        cases,
        Destination(root / "out"),
        segmenter=segmenter,
        settings=BatchSettings(listener=memory),
    )
    passed = time.perf_counter() - start
    masks = sum(1 for _ in (root / "out").glob("*.nii.gz"))
    failed = [outcome for outcome in report.outcomes if outcome.status is Status.FAILED]
    assert len(report.outcomes) == args.cases + args.broken
    assert masks == report.count(Status.DONE) == args.cases
    assert len(failed) == args.broken
    assert all(outcome.case.id.startswith("broken") and outcome.error for outcome in failed)
    assert report.exit_code == (1 if args.broken else 0)
    bare = statistics.median(recorder.replay() for _ in range(2))
    print(
        f"{loaded.execution.backend} {loaded.execution.precision}, {args.threads} thread(s), "
        f"scans of {args.shape}"
    )
    print(f"{args.cases} done, {len(failed)} failed, exit code {report.exit_code}")
    print(f"failed by reason: {json.dumps(report.reasons())}")
    span = min(HUNDRED, len(memory.mb) // 2)
    first, last = (statistics.mean(part) for part in (memory.mb[:span], memory.mb[-span:]))
    print(
        f"resident memory, mean of the first and the last {span} cases: {first:.1f} MB, "
        f"{last:.1f} MB ({100 * (last / first - 1):+.1f} %)"
    )
    print(
        f"batch {passed:.1f} s, bare network {bare:.1f} s: share {bare / passed:.3f}; "
        f"a network call was running {report.seconds()['network'] / passed:.1%} of the time"
    )
    print(
        f"per case {1000 * passed / args.cases:.1f} ms, of it network "
        f"{1000 * bare / args.cases:.1f} ms"
    )
    print(f"seconds per stage, summed: {json.dumps(report.seconds())}")


if __name__ == "__main__":
    main()
