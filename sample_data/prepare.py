"""Rebuild the sample data from public packages; see NOTICE.txt for where they come from.

    python sample_data/prepare.py                          # demo/ and train/ beside this file
    python sample_data/prepare.py --templates FOLDER       # also all training templates, unshipped
    python sample_data/prepare.py --packages FOLDER        # packages fetched (or unpacked) before

``--templates`` writes images/ and labels/ for ``python -m sample_data.train_heads``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
from mean_head import in_mean_head
from scipy import ndimage
from tissue import classify

HERE = Path(__file__).resolve().parent
COLIN = "usr/share/mricron/templates/{}.nii.gz"
ICBM = "nilearn/datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
MEAN_HEAD = "pydeface/data/mean_reg2mean.nii.gz"
NLIN6 = "nimare/resources/templates/tpl-MNI152NLin6Asym_res-01_{}.nii.gz"
HALF = 127.5
"""Tissue maps are probabilities scaled to 0–255."""

MASK_MARGIN_MM = 3

OUTER_FLUID_MM = 3
"""Masks differ in how much fluid around the brain they hold; training drops it, this deep."""


def main() -> int:
    """Fetch, build, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, help="folder with the packages; else fetched")
    parser.add_argument("--templates", type=Path, help="also write all training templates here")
    parser.add_argument("--output", type=Path, default=HERE, help="where demo/ and train/ go")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        packages = arguments.packages or _fetch(Path(scratch), all_of=bool(arguments.templates))
        _unpack(packages, Path(scratch))
        roots = [Path(scratch), packages]
        _write_pair(_colin(roots), arguments.output / "demo", "colin27")
        icbm = _icbm(roots)
        _write_pair(icbm, arguments.output / "train", "icbm2009a")
        if arguments.templates:
            nlin6 = _nlin6(roots)
            _write_pair(icbm, arguments.templates, "icbm2009a")
            head = _find(roots, MEAN_HEAD)
            mean_head = np.asarray(head.dataobj), head.affine
            pasted = _without_outer_fluid(_pasted(icbm, nlin6))
            nlin6 = _without_outer_fluid(nlin6)
            _write_pair(nlin6, arguments.templates, "nlin6")
            _write_pair(pasted, arguments.templates, "icbm2009a_in_nlin6_head")
            for name, pair in (("nlin6", nlin6), ("icbm2009a", pasted)):
                _write_pair(
                    in_mean_head(pair, mean_head), arguments.templates, f"{name}_in_mean_head"
                )
    return 0


def _fetch(folder: Path, *, all_of: bool) -> Path:
    """Download the packages with pip and apt, without installing them."""
    names = ["nilearn", "nimare", "pydeface"] if all_of else ["nilearn"]
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder)]
    subprocess.run([*pip, *names], check=True)
    subprocess.run(["apt-get", "download", "mricron-data"], check=True, cwd=folder)
    return folder


def _unpack(packages: Path, folder: Path) -> None:
    for wheel in packages.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            parts = ("mni_icbm152", "NLin6Asym", MEAN_HEAD)
            wanted = [n for n in archive.namelist() if any(part in n for part in parts)]
            archive.extractall(folder, wanted)
    for deb in packages.glob("mricron-data*.deb"):
        subprocess.run(["dpkg-deb", "--extract", str(deb), str(folder)], check=True)


def _find(roots: list[Path], ending: str) -> nib.Nifti1Image:
    for root in roots:
        found = sorted(root.glob(f"**/{ending}"))
        if found:
            return nib.load(found[0])
    msg = f"no {ending} under {roots}: fetch the packages named in NOTICE.txt"
    raise SystemExit(msg)


def _colin(roots: list[Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (image, silver reference, affine) of Colin27."""
    scan = _find(roots, COLIN.format("ch2"))
    mask = ndimage.binary_fill_holes(np.asarray(_find(roots, COLIN.format("ch2bet")).dataobj) > 0)
    image = np.asarray(scan.dataobj)
    return image, classify(image, mask), scan.affine


def _icbm(roots: list[Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (image, labels, affine) of ICBM 2009a, brain only."""
    scan = _find(roots, ICBM.format("t1"))
    gray, white = (np.asarray(_find(roots, ICBM.format(t)).dataobj, float) for t in ("gm", "wm"))
    image = np.asarray(scan.dataobj)
    fluid = np.clip(2 * HALF - gray - white, 0, None)
    labels = np.stack([fluid, gray, white]).argmax(axis=0).astype(np.uint8) + 1
    labels[~ndimage.binary_fill_holes(image > 0)] = 0
    return image, labels, scan.affine


def _nlin6(roots: list[Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (image, labels, affine) of MNI152NLin6Asym, with skull."""
    scan = _find(roots, NLIN6.format("T1w"))
    mask = np.asarray(_find(roots, NLIN6.format("desc-brain_mask")).dataobj) > 0
    image = np.asarray(scan.dataobj)
    return image, classify(image, ndimage.binary_fill_holes(mask)), scan.affine


def _pasted(
    brain: tuple[np.ndarray, np.ndarray, np.ndarray],
    head: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the ICBM brain inside the NLin6 head: both lie in MNI space at 1 mm.

    Its tissue is classified like the head's own brain: heads with skull have one definition.
    """
    image, labels, affine = head[0].astype(np.float32), head[1], head[2]
    shift = np.rint(np.linalg.inv(brain[2])[:3] @ affine)[:, 3].astype(int)
    part = tuple(slice(s, s + n) for s, n in zip(shift, image.shape, strict=True))
    if (shift < 0).any() or (shift + image.shape > brain[0].shape).any():
        msg = f"the head's grid {image.shape} does not lie inside the brain's {brain[0].shape}"
        raise SystemExit(msg)
    new_image = brain[0][part].astype(np.float32)
    new_labels = classify(brain[0], brain[1] > 0)[part]
    new, old = new_labels > 0, labels > 0
    scale = np.median(image[labels == 3]) / np.median(new_image[new_labels == 3])
    # The rim between the two brains becomes dark, as skull and outer fluid are.
    rim = ndimage.binary_dilation(old | new, iterations=MASK_MARGIN_MM) & ~old & ~new
    image[old & ~new] = np.median(image[rim])
    image[new] = new_image[new] * scale
    return np.rint(image).astype(np.int16), np.where(new, new_labels, 0).astype(np.uint8), affine


def _without_outer_fluid(
    pair: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pair with the outermost layer of fluid as background.

    The mask of NLin6Asym holds much of the fluid around the brain, that of 2009a hardly any:
    without this, two heads with skull would contradict each other at every point of the surface.
    """
    image, labels, affine = pair
    fluid = labels == 1
    outside = ndimage.binary_dilation(
        labels == 0, iterations=OUTER_FLUID_MM, mask=fluid | (labels == 0)
    )
    return image, np.where(outside, 0, labels).astype(np.uint8), affine


def _write_pair(pair: tuple[np.ndarray, np.ndarray, np.ndarray], folder: Path, name: str) -> None:
    image, labels, affine = pair
    for kind, array in (("images", image), ("labels", labels)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        written = nib.Nifti1Image(array, affine)
        written.header.set_xyzt_units("mm")
        written.set_sform(affine, 4)
        written.set_qform(affine, 4)
        nib.save(written, folder / kind / f"{name}.nii.gz")
    print(f"{name}: {image.shape}, labels {np.bincount(labels.ravel()).tolist()}")


if __name__ == "__main__":
    raise SystemExit(main())
