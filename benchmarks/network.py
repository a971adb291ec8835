"""Network calls and whole runs beside OpenVINO's own ``benchmark_app``, on the same slices.

Run: ``python benchmarks/network.py [--bundle DIR] [--scan FILE] [--precisions fp32 int8]
[--threads 2] [--rounds 3] [--seconds 10]``. For each precision that the bundle's export has:

* "bare": the network calls of the scan, in the batches that the run makes of it, each begun before
  the last one's logits are taken, as in the run, and nothing else;
* "whole": scan to mask on disk with the model loaded, against bare; both in turns in one process;
* "shell": ``unet-med segment`` as a process of its own, start and imports included;
* "app": ``benchmark_app`` on the same model file, the batch shape met most, the same precision and
  threads, once per performance hint, its better throughput against bare.

Constant slices, which are run once, count as slices everywhere, so a scan with many of them makes
bare look better than ``benchmark_app``; the script says how many there were.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from measured import demo_scan, precisions_here

from unet_med.backends.hardware import processor_name
from unet_med.backends.precision_report import MODELS, export_folder
from unet_med.bundle import default_bundle
from unet_med.segmenter import Segmenter, load_segmenter

if TYPE_CHECKING:
    from collections.abc import Callable

    from unet_med.backends import SlicePredictor
    from unet_med.backends.openvino_backend import OpenVINOPredictor

# Its telemetry, which would look up a host, is hidden as the program itself hides it.
APP = """
import sys
sys.modules["openvino_telemetry"] = None
from openvino.tools.benchmark.main import main
main()
"""
HINTS = ("latency", "throughput")


class Recorder:
    """Runs a predictor and keeps what it was given."""

    def __init__(self, predictor: SlicePredictor) -> None:
        self.predictor = predictor
        self.batches: list[np.ndarray] = []

    def __call__(self, slices: np.ndarray, /) -> np.ndarray:
        """Run the network."""
        self.batches.append(np.array(slices))
        return self.predictor(slices)


def record(segmenter: Segmenter, scan: Path, target: Path) -> list[np.ndarray]:
    """Return the network's inputs for a scan, in order."""
    recorder = Recorder(segmenter.predictor)
    replace(segmenter, predictor=recorder).segment_to(scan, target)
    return recorder.batches


def call_all(predictor: OpenVINOPredictor, batches: list[np.ndarray]) -> None:
    """Make the calls, and give their logits up at once."""
    begun: deque[Callable[[], np.ndarray]] = deque()
    for batch in batches:
        begun.append(predictor.start(batch) or partial(predictor, batch))
        if len(begun) > 1:
            begun.popleft()()
    begun.popleft()()


def seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def app_slices_per_second(
    model: Path, shape: tuple[int, ...], *, precision: str, args: argparse.Namespace
) -> dict[str, float]:
    """Return ``benchmark_app``'s throughput in slices for each hint."""
    found = {}
    config = args.folder / "threads.json"  # beside a hint, the app takes threads only so
    config.write_text(json.dumps({"CPU": {"INFERENCE_NUM_THREADS": args.threads}}))
    for hint in HINTS:
        words = ["-m", str(model), "-d", "CPU", "-hint", hint, "-t", str(args.seconds)]
        words += ["-shape", str(list(shape)).replace(" ", ""), "-load_config", str(config)]
        words += ["-infer_precision", "bf16" if precision == "bf16" else "f32"]
        run = subprocess.run(
            [sys.executable, "-c", APP, *words], capture_output=True, text=True, check=False
        )
        count = re.search(r"Count:\s+(\d+) iterations", run.stdout)
        duration = re.search(r"Duration:\s+([\d.]+) ms", run.stdout)
        if run.returncode or not (count and duration):
            sys.exit(f"benchmark_app failed: {run.stdout[-500:]} {run.stderr[-500:]}")
        found[hint] = int(count[1]) * shape[0] / float(duration[1]) * 1e3
    return found


def from_shell(args: argparse.Namespace, precision: str, target: Path) -> float:
    words = [sys.executable, "-m", "unet_med", "segment", str(args.scan), "--output", str(target)]
    words += ["--bundle", str(args.bundle), "--backend", "openvino", "--precision", precision]
    words += ["--threads", str(args.threads), "--overwrite"]
    return seconds_of(lambda: subprocess.run(words, check=True, capture_output=True))


def measure(args: argparse.Namespace, precision: str) -> None:
    segmenter = load_segmenter(
        args.bundle, backend="openvino", precision=precision, threads=args.threads
    )
    target = args.folder / "mask.nii.gz"
    batches = record(segmenter, args.scan, target)
    n_run = sum(len(batch) for batch in batches)
    case = segmenter.open(args.scan)
    n_slices = case.members[0].pipeline.layout.n_slices(case.volume.geometry)
    padded = Counter(batch.shape for batch in batches).most_common(1)[0][0]
    times: dict[str, list[float]] = {"bare": [], "whole": [], "shell": []}
    for _ in range(args.rounds):
        times["bare"].append(seconds_of(lambda: call_all(segmenter.predictor, batches)))
        times["whole"].append(seconds_of(lambda: segmenter.segment_to(args.scan, target)))
        times["shell"].append(from_shell(args, precision, args.folder / "shell.nii.gz"))
    bare, whole, shell = (statistics.median(times[name]) for name in ("bare", "whole", "shell"))
    model = export_folder(segmenter.bundle.weights_path) / f"{MODELS[precision]}.xml"
    app = app_slices_per_second(model, padded, precision=precision, args=args)
    ours, best = n_run / bare, max(app.values())
    print(
        f"{precision:<6}{n_run:>5} of {n_slices:<5}{bare:>8.2f}{whole:>8.2f}{whole / bare:>8.3f}"
        f"{shell:>8.2f}{ours:>10.2f}"
        + "".join(f"{app[hint]:>12.2f}" for hint in HINTS)
        + f"{ours / best:>8.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--scan", type=Path, help="default: the demo scan")
    parser.add_argument("--precisions", nargs="+", help="default: all that the export has")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10, help="for benchmark_app, per hint")
    args = parser.parse_args()
    args.scan = args.scan or demo_scan()
    print(f"{processor_name()}, {args.threads} threads, {args.scan.name}, medians of {args.rounds}")
    print(
        f"{'':<6}{'slices run':>14}{'bare s':>8}{'whole s':>8}{'ratio':>8}{'shell s':>8}"
        f"{'slices/s':>10}{'app latency':>12}{'app through':>12}{'of app':>8}"
    )
    with tempfile.TemporaryDirectory() as folder:
        args.folder = Path(folder)
        for precision in args.precisions or precisions_here(args.bundle):
            measure(args, precision)


if __name__ == "__main__":
    main()
