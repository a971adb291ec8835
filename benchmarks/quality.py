"""Does the quality score without a reference find the bad slices? Held-out head, planted faults.

    python sample_data/prepare.py --templates TEMPLATES
    python benchmarks/quality.py --fit TEMPLATES     # the threshold, from templates alone
    python benchmarks/quality.py --fit TEMPLATES --compare   # and other weights of the score
    python benchmarks/quality.py                     # scores it once on the demo head

Faults (noise, bias field, motion, lost slices; scan_faults.py) are planted in the scans, never in
masks; the reference stays that of the clean scan. True Dice is slice by slice against it. The
demo head was never trained on and sets no threshold. Both use the bundle's temperature.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from scan_faults import FAULTS
from scipy.stats import spearmanr

import unet_med
from unet_med.metrics import dice, slice_counts
from unet_med.quality import REVIEW_BELOW
from unet_med.quality.score import geometric_mean
from unet_med.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "sample_data" / "demo"
BAD = 0.7
"""True Dice below which a slice is bad and should be flagged."""

FALSE_ALARMS = 0.08
"""Share of good template slices that the fitted threshold may flag: 10 % with some room."""

COMPARED = ((1, 1, 1), (1, 0, 0), (1, 1, 0), (2, 1, 0), (4, 2, 1), (4, 0, 1), (4, 1, 1))
"""Weights of expected Dice, certainty and neighbors that ``--compare`` fits a threshold for."""

TEMPLATES = ("nlin6", "icbm2009a_in_nlin6_head", "nlin6_in_mean_head")
"""Heads with skull, as scans have it; two templates and the composed head with a neck."""


@dataclass(frozen=True)
class Slices:
    """Slices of one or more scans; arrays (n,), one entry per slice and label.

    ``score`` and ``expected`` are NaN where the label was not found; ``true`` is NaN where it is
    in neither mask.
    """

    score: np.ndarray
    expected: np.ndarray
    entropy: np.ndarray
    neighbors: np.ndarray
    true: np.ndarray
    label: np.ndarray
    fault: np.ndarray
    head: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> Slices:
        return Slices(**{name: array[chosen] for name, array in vars(self).items()})

    def flagged(self, threshold: float) -> np.ndarray:
        """Return which slices a threshold puts on the list, (n,) bool."""
        return np.nan_to_num(self.score, nan=1.0) < threshold


def measure(segmenter: unet_med.Segmenter, heads: list[Path], say: Callable[[str], None]) -> Slices:
    """Segment every head with every fault and pair the scores with true Dice."""
    parts = [part for head in heads for part in _measure_head(segmenter, head, say)]
    names = vars(parts[0])
    return Slices(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in names})


def _measure_head(
    segmenter: unet_med.Segmenter, head: Path, say: Callable[[str], None]
) -> Iterator[Slices]:
    image = nib.load(head)
    scan = np.asarray(image.dataobj)
    reference = np.asarray(nib.load(head.parents[1] / "labels" / head.name).dataobj)
    name = head.name.removesuffix(".nii.gz")
    for fault, plant in FAULTS.items():
        random = np.random.default_rng(zlib.crc32(f"{name}/{fault}".encode()))
        began = time.perf_counter()
        result = segmenter.segment((plant(scan, random), image.affine))
        quality = result.quality
        assert quality is not None
        counts = slice_counts(
            np.moveaxis(result.labels, quality.slice_axis, 0),
            np.moveaxis(reference.astype(np.uint8), quality.slice_axis, 0),
            labels=tuple(result.label_names),
        )
        true = dice(counts.tp, counts.fp, counts.fn)
        labels = np.broadcast_to(np.array(list(result.label_names.values()), object), true.shape)
        yield Slices(
            score=quality.score.ravel(),
            expected=quality.expected_dice.ravel(),
            entropy=quality.entropy.ravel(),
            neighbors=quality.neighbor_dice.ravel(),
            true=true.ravel(),
            label=labels.ravel(),
            fault=np.full(true.size, fault, object),
            head=np.full(true.size, name, object),
        )
        say(f"  {name}, {fault}: {time.perf_counter() - began:.0f} s")


def fit_threshold(slices: Slices) -> float:
    """Return the largest threshold, in hundredths, with few enough false alarms.

    The share of false alarms is the mean over heads, so that no head counts more for its size.
    """
    fitted = 0.0
    for threshold in np.arange(0.4, 1.0, 0.01):
        shares = []
        for head in np.unique(slices.head):
            good = (slices.head == head) & (slices.true >= BAD)
            shares.append(slices.flagged(threshold)[good].mean())
        if np.mean(shares) <= FALSE_ALARMS:
            fitted = float(threshold)
    return round(fitted, 2)


def compare(slices: Slices) -> Iterator[dict[str, object]]:
    """Yield a row for each of `COMPARED`, with the threshold that is fitted for it.

    Slices inside a gap keep their score of 0. Neighbors are taken as they are, so slices must be
    1 mm apart.
    """
    numbers = slices.expected, 1.0 - slices.entropy, slices.neighbors
    for weights in COMPARED:
        score = np.where(slices.score == 0, 0.0, geometric_mean(numbers, weights))
        weighed = replace(slices, score=score)
        threshold = fit_threshold(weighed)
        name = f"{' : '.join(map(str, weights))}, below {threshold}"
        yield row(name, weighed, threshold)


def row(name: str, slices: Slices, threshold: float) -> dict[str, object]:
    """Return the figures of some slices."""
    there = ~np.isnan(slices.true)
    bad, good = there & (slices.true < BAD), there & (slices.true >= BAD)
    scored = there & ~np.isnan(slices.score)
    flagged = slices.flagged(threshold)

    def rank(values: np.ndarray) -> float:
        both = scored & ~np.isnan(values)
        return round(float(spearmanr(values[both], slices.true[both]).statistic), 3)

    return {
        "slices": name,
        "n": int(there.sum()),
        "bad": int(bad.sum()),
        "rank expected": rank(slices.expected),
        "rank score": rank(slices.score),
        "flagged of bad": round(float(flagged[bad].mean()), 3) if bad.any() else None,
        "false alarms": round(float(flagged[good].mean()), 3) if good.any() else None,
        "not found": int((bad & np.isnan(slices.score)).sum()),
        "flagged, label in neither": int((flagged & ~there).sum()),
    }


def table(slices: Slices, threshold: float) -> list[dict[str, object]]:
    """Return rows for all slices, the clean scan, each fault, each label."""
    rows = [row("all", slices, threshold)]
    rows += [row(f, slices[slices.fault == f], threshold) for f in dict.fromkeys(slices.fault)]
    rows += [row(n, slices[slices.label == n], threshold) for n in dict.fromkeys(slices.label)]
    return rows


def show(rows: list[dict[str, object]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for line in rows:
        cells = ("" if value is None else str(value) for value in line.values())
        print("| " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", type=Path, metavar="TEMPLATES", help="fit the threshold on these")
    parser.add_argument("--compare", action="store_true", help="with --fit: other weights, too")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--write", action="store_true", help="with --fit: into the bundle's recipe")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    args = parser.parse_args()
    segmenter = unet_med.load(args.bundle, threads=args.threads)
    folder = args.fit / "images" if args.fit else DEMO / "images"
    names = TEMPLATES if args.fit else ("colin27",)
    slices = measure(segmenter, [folder / f"{name}.nii.gz" for name in names], print)
    if args.fit:
        threshold = fit_threshold(slices)
        print(
            f"review_below {threshold}: at most {FALSE_ALARMS:.0%} of good template slices flagged"
        )
        if args.compare:
            show(list(compare(slices)))
        if args.write:
            recipe = segmenter.bundle.root / "configs" / "recipe.json"
            replace(Recipe.load(recipe), review_below=threshold).save(recipe)
    else:
        recipe_says = segmenter.recipe.review_below
        threshold = REVIEW_BELOW if recipe_says is None else recipe_says
    rows = table(slices, threshold)
    print(f"\nthreshold {threshold}, temperature {segmenter.recipe.temperature}\n")
    show(rows)
    if args.json:
        args.json.write_text(json.dumps({"threshold": threshold, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
