"""What a large Dask cluster would come to: the client's cost per case, and where the limit lies.

Run: ``python benchmarks/cluster.py measure`` runs many trivial cases through a real scheduler
and two workers on the loopback device, and prints what one case costs this side (client and
scheduler in one process, ledger and masks flushed to disk). ``python benchmarks/cluster.py
simulate --client-ms C --scheduler-ms S --compute-s T --megabytes M --bandwidth B`` puts such
figures into an event simulation of 10 to 10,000 workers and prints hours for a million scans.
"""

from __future__ import annotations

import argparse
import heapq
import os
import random
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np

from unet_med.backends import Execution
from unet_med.batch import BatchSettings, Destination, dask_executor, find_cases, run_batch
from unet_med.bundle import Bundle, open_bundle
from unet_med.recipe import Channel, NetworkRecipe, Recipe
from unet_med.segmenter import Segmenter
from unet_med.volumes import ReadOptions

MILLION = 1_000_000
SUBMIT_SHARE = 0.3  # of the client's time per case; the rest is spent when the mask is there
AHEAD = 2


def threshold(slices: np.ndarray) -> np.ndarray:
    """A network that costs nothing."""
    return np.concatenate([np.zeros_like(slices[:, :1]), slices[:, :1] - 0.5], axis=1)


@dataclass(frozen=True)
class TrivialLoader:
    """Loads `threshold` in any process."""

    root: Path

    @property
    def key(self) -> Path:
        """What tells loaders apart."""
        return self.root

    @property
    def bundle(self) -> Bundle:
        """The bundle, which any process opens."""
        return open_bundle(self.root)

    @property
    def recipe(self) -> Recipe:
        """Its recipe."""
        return self.bundle.recipe

    execution = Execution("torch", "fp32", "cpu", 1, "a network that costs nothing")
    rules = ReadOptions()

    def identity(self) -> dict[str, object]:
        """Names and digest of the bundle."""
        return self.load_in_worker().identity()

    def check_in_worker(self) -> None:
        """It is everywhere the same."""

    def load_in_worker(self) -> Segmenter:
        """Load it."""
        return Segmenter(self.bundle, self.execution, threshold)


def measure(n_cases: int) -> None:
    import distributed

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        recipe = Recipe(
            "trivial", NetworkRecipe(1, 2, (2, 4)), (Channel("T1", "MR"),), {1: "bright"}
        )
        recipe.save(root / "bundle" / "configs" / "recipe.json")
        (root / "bundle" / "models").mkdir()
        (root / "bundle" / "models" / "model.pt").write_bytes(b"none")
        (root / "in").mkdir()
        dice = np.random.default_rng(0)
        for number in range(n_cases):
            values = dice.normal(100, 30, (8, 8, 3)).astype(np.int16)
            nib.save(nib.Nifti1Image(values, np.eye(4)), root / "in" / f"s{number:06d}.nii")
        loader = TrivialLoader(root / "bundle")
        with (
            distributed.LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
            ) as cluster,
            dask_executor(cluster.scheduler_address, loader) as executor,
        ):
            cluster.wait_for_workers(2)
            cases = find_cases([root / "in"], n_channels=1, output=root / "out")
            cpu, wall = time.process_time(), time.perf_counter()
            report = run_batch(
                cases,
                Destination(root / "out"),
                segmenter=loader,
                settings=BatchSettings(),
                executor=executor,
            )
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        assert report.exit_code == 0
        flush = flush_seconds(root)
    print(
        f"{n_cases} trivial cases, 2 workers: {1000 * wall / n_cases:.1f} ms a case, of it "
        f"{1000 * cpu / n_cases:.1f} ms CPU of client and scheduler; "
        f"one flush to this disk takes {1000 * flush:.2f} ms (median)"
    )


def flush_seconds(folder: Path) -> float:
    times = []
    with (folder / "flush").open("ab", buffering=0) as stream:
        for _ in range(50):
            start = time.perf_counter()
            stream.write(b"x" * 300)
            os.fsync(stream.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times)


@dataclass
class Server:
    """Does one thing at a time, in the order of asking."""

    free_at: float = 0.0
    busy: float = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """Return when something that is asked now and takes so long is done."""
        self.free_at = max(now, self.free_at) + seconds
        self.busy += seconds
        return self.free_at


@dataclass
class Cluster:
    """A client, a scheduler, a store and workers; all times in seconds."""

    workers: int
    client_s: float
    scheduler_s: float
    compute_s: float
    transfer_s: float
    client: Server = field(default_factory=Server)
    scheduler: Server = field(default_factory=Server)
    store: Server = field(default_factory=Server)
    waiting: int = 0
    idle: int = 0
    left: int = 0
    dice: random.Random = field(default_factory=lambda: random.Random(0))
    events: list[tuple[float, int, str]] = field(default_factory=list)

    def run(self, n_cases: int) -> float:
        """Return when the last case is committed."""
        self.idle, self.left = self.workers, n_cases
        for _ in range(min(n_cases, max(16, AHEAD * self.workers))):
            self._submit(0.0)
        happens = {"task": self._arrive, "made": self._commit, "committed": self._submit}
        now = 0.0
        while self.events:
            now, _, kind = heapq.heappop(self.events)
            happens[kind](now)
        return now

    def _add(self, when: float, kind: str) -> None:
        heapq.heappush(self.events, (when, len(self.events), kind))

    def _submit(self, now: float) -> None:
        if self.left:
            self.left -= 1
            sent = self.client.serve(now, SUBMIT_SHARE * self.client_s)
            self._add(self.scheduler.serve(sent, self.scheduler_s), "task")

    def _arrive(self, now: float) -> None:
        self.waiting += 1
        self._begin(now)

    def _begin(self, now: float) -> None:
        if self.waiting and self.idle:
            self.waiting -= 1
            self.idle -= 1
            read = self.store.serve(now, self.transfer_s)
            # Scans differ: half to twice the middle; 1.082 is the mean of that.
            self._add(read + self.compute_s * 2 ** self.dice.uniform(-1, 1) / 1.082, "made")

    def _commit(self, now: float) -> None:
        self._add(self.client.serve(now, (1 - SUBMIT_SHARE) * self.client_s), "committed")
        self.idle += 1
        self._begin(now)


def simulate(args: argparse.Namespace) -> None:
    print(
        f"per case: client {args.client_ms:g} ms, scheduler {args.scheduler_ms:g} ms, compute "
        f"{args.compute_s:g} s, {args.megabytes:g} MB through {args.bandwidth:g} MB/s"
    )
    print("| workers | cases per hour | hours for 1,000,000 | workers busy | limit |")
    print("|---|---|---|---|---|")
    for workers in (10, 100, 1000, 3000, 10_000):
        n_cases = min(max(20 * workers, 5000), 100_000)
        cluster = Cluster(
            workers,
            args.client_ms / 1000,
            args.scheduler_ms / 1000,
            args.compute_s,
            args.megabytes / args.bandwidth,
        )
        seconds = cluster.run(n_cases)
        share = {
            "workers": n_cases * args.compute_s / (seconds * workers),
            "client": cluster.client.busy / seconds,
            "scheduler": cluster.scheduler.busy / seconds,
            "store": cluster.store.busy / seconds,
        }
        limit = max(share, key=lambda name: share[name])
        pace = n_cases / seconds * 3600
        print(
            f"| {workers:,} | {pace:,.0f} | {MILLION / pace:,.1f} | {share['workers']:.0%} | "
            f"{limit} ({share[limit]:.0%} busy) |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("--cases", type=int, default=500)
    simulating = commands.add_parser("simulate")
    for name, default in (
        ("client-ms", 10.0),
        ("scheduler-ms", 1.0),
        ("compute-s", 20.0),
        ("megabytes", 12.0),
        ("bandwidth", 1000.0),
    ):
        simulating.add_argument(f"--{name}", type=float, default=default)
    args = parser.parse_args()
    if args.command == "measure":
        measure(args.cases)
    else:
        simulate(args)


if __name__ == "__main__":
    main()
