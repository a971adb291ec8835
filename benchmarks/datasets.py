"""Make labeled data sets of the kinds that people train on, from public templates or from nothing.

    python benchmarks/datasets.py tumor OUT --templates FOLDER   # 2 channels, 240 × 240 × 155
    python benchmarks/datasets.py thick OUT --templates FOLDER    # 6.5 mm slices, 3 labels
    python benchmarks/datasets.py atlas OUT                       # 1.2 mm, 30 regions of Colin27
    python benchmarks/datasets.py membranes OUT                   # 30 × 512 × 512, 8 bit, no units
    python benchmarks/datasets.py organs OUT                      # HU, 4 mm slices, 10 labels

OUT/train and OUT/test each get images/ and labels/. FOLDER is what ``sample_data/prepare.py
--templates FOLDER`` writes. Heads of the test part come from another template than those of the
training part (atlas: Colin27 in both, since no other head has its regions). The same seed gives
the same files; defaults are chosen on the training part and looked at once on the test part.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from made_heads import atlas_head, thick_head, tumor_brain
from made_volumes import membranes, organs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from made_shapes import Array, Head

MAKERS = {
    "tumor": tumor_brain, "thick": thick_head, "atlas": atlas_head,
    "membranes": membranes, "organs": organs,
}  # fmt: skip
TRAIN_HEADS = ("nlin6", "icbm2009a_in_mean_head")
TEST_HEADS = ("icbm2009a_in_nlin6_head",)
N_REGIONS = 30
COLIN = "usr/share/mricron/templates/{}.nii.gz"


def main() -> int:
    """Make one data set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("kind", choices=MAKERS)
    parser.add_argument("output", type=Path)
    parser.add_argument("--templates", type=Path)
    parser.add_argument("--train", type=int, default=4, help="cases to train on")
    parser.add_argument("--test", type=int, default=2, help="cases to score")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for number, part in enumerate(("train", "test")):
        heads = load_heads(args.kind, args.templates, TRAIN_HEADS if number == 0 else TEST_HEADS)
        for case in range(args.train if number == 0 else args.test):
            rng = np.random.default_rng([args.seed, number, case])
            images, labels, mm = MAKERS[args.kind](heads[case % len(heads)], rng)
            write_case(args.output / part, f"{args.kind}{case:03d}", images, labels=labels, mm=mm)
            print(f"{args.output / part}: case {case}", flush=True)
    return 0


def load_heads(kind: str, templates: Path | None, names: Sequence[str]) -> list[Any]:
    """Return (image, tissue, regions or None) per head; [None] for kinds that need none."""
    if kind in {"membranes", "organs"}:
        return [None]
    if kind == "atlas":
        return [colin()]
    if templates is None:
        msg = f"{kind} needs --templates; python sample_data/prepare.py --templates DIR"
        raise SystemExit(msg)
    load = [nib.as_closest_canonical(nib.load(templates / k / f"{n}.nii.gz"))
            for n in names for k in ("images", "labels")]  # fmt: skip
    arrays = [np.asarray(image.dataobj) for image in load]
    return [(*pair, None) for pair in zip(arrays[::2], arrays[1::2], strict=True)]


def colin() -> Head:
    """Colin27 with its brain mask and its largest atlas regions, numbered with gaps kept."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", "mricron-data"], check=True, cwd=folder)
        package = next(Path(folder).glob("mricron-data*.deb"))
        subprocess.run(["dpkg-deb", "--extract", str(package), folder], check=True)
        image, brain, regions = (
            np.asarray(nib.load(Path(folder) / COLIN.format(name)).dataobj)
            for name in ("ch2", "ch2bet", "aal")
        )
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    largest = np.argsort(-sizes)[:N_REGIONS]
    return image, (brain > 0).astype(np.uint8), np.where(np.isin(regions, largest), regions, 0)


def write_case(
    folder: Path, name: str, images: Sequence[Array], *, labels: Array, mm: Sequence[float]
) -> None:
    """Write one case as nnU-Net names its files."""
    affine = np.diag([*mm, 1.0])
    files = {f"images/{name}_{n:04d}": image for n, image in enumerate(images)}
    for path, array in {**files, f"labels/{name}": labels}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        written = nib.Nifti1Image(array, affine)
        written.header.set_xyzt_units("mm")
        nib.save(written, folder / f"{path}.nii.gz")


if __name__ == "__main__":
    raise SystemExit(main())
