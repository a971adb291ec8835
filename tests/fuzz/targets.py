"""What is fed with damaged files: every loader of something that may come from elsewhere.

A target takes bytes and a folder of its own. It returns when the input was taken for good, after
checking what came of it by independent means, or lets the package's own error through.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 - the package's own habit
import torch

from tests.batch_helpers import make_segmenter, run_cases
from tests.bundles import make_bundle
from tests.fuzz.mutation import mutated, mutated_text
from tests.volumes.dicom_builders import enhanced, noise, orthonormal, write_series
from unet_med.backends.precision_report import (
    PRECISION_REPORT,
    SCHEMA_VERSION,
    export_folder,
    model_files,
    verified_model,
)
from unet_med.batch import sidecar_path
from unet_med.bundle import open_bundle
from unet_med.bundle.weights import load_weights
from unet_med.cases.datalist import read_datalist
from unet_med.networks import UNet2D
from unet_med.recipe import Recipe
from unet_med.volumes import Limits, ReadOptions, verify_mask
from unet_med.volumes.mask_header import read_mask_metadata

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMITS = Limits(max_voxels=1 << 22, max_compression_ratio=250)
AFFINE = np.array([[0.1, -0.9, 0.2, 3.5], [1.1, 0.05, 0, -40], [0, 0.3, -2.5, 9], [0, 0, 0, 1.0]])


@dataclass(frozen=True)
class Target:
    """A loader: undamaged inputs, how they are damaged, and what is done with them."""

    name: str
    seeds: tuple[bytes, ...]
    damage: Callable
    run: Callable[[bytes, Path], None]
    share: int = 1


def nifti_seeds() -> tuple[bytes, ...]:
    """Make small scans of every NIfTI kind, uncompressed."""
    rng = np.random.default_rng(1)
    images = [
        nib.Nifti1Image(rng.normal(100, 30, (6, 5, 4)).astype(np.int16), AFFINE),
        nib.Nifti2Image(rng.normal(0, 1, (4, 7, 5)).astype(np.float32), AFFINE),
        nib.Nifti1Image(rng.integers(0, 255, (5, 4, 3, 2)).astype(np.uint8), AFFINE),
        nib.Nifti1Image(rng.integers(0, 255, (8, 7)).astype(np.uint8), AFFINE),
        nib.Nifti1Image(rng.normal(0, 1, (3, 4, 5)), AFFINE),
    ]
    images[0].header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"note" * 8))
    images[4].header.set_slope_inter(2, 1)
    big = nib.Nifti1Image(
        np.arange(60, dtype=">i2").reshape(3, 4, 5), AFFINE, nib.Nifti1Header(endianness=">")
    )
    return tuple(image.to_bytes() for image in [*images, big])


def other_seeds(folder: Path) -> dict[str, bytes]:
    """Make one small scan in each format but NIfTI; of DICOM, one slice and one of many frames."""
    folder.mkdir(exist_ok=True)
    image = sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    for ending, packed in ((".nrrd", False), (".mha", False), ("p.nrrd", True), ("p.mha", True)):
        sitk.WriteImage(image, str(folder / f"scan{ending}"), useCompression=packed)
    nib.save(
        nib.MGHImage(np.arange(60, dtype=np.float32).reshape(3, 4, 5), AFFINE), folder / "scan.mgh"
    )
    (slice_path,) = write_series(folder / "slice", noise((8, 8, 1)), orthonormal(), Modality="MR")
    slice_path.rename(folder / "scan.dcm")
    enhanced(folder / "scanp.dcm", noise((8, 7, 4)), orthonormal())
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


class Scans:
    """Damaged scans through the whole case: header, voxels, labels, mask, verification."""

    def __init__(self, folder: Path, ending: str) -> None:
        segmenter = make_segmenter(folder / f"bundle{ending}")
        recipe = segmenter.recipe
        self.ending = ending
        self.segmenters = [
            replace(
                segmenter,
                rules=ReadOptions(LIMITS),
                bundle=replace(segmenter.bundle, recipe=replace(recipe, **changes)),
            )
            for changes in ({}, {"in_plane_spacing_mm": 1.3, "slice_axis": "sagittal"})
        ]

    def __call__(self, data: bytes, folder: Path) -> None:
        scan, mask = folder / f"scan{self.ending}", folder / "mask.nii.gz"
        scan.write_bytes(data)
        frame = 0 if len(data) % 3 == 0 else None
        self.segmenters[len(data) % 2].segment_to(scan, mask, channel=frame)
        assert verify_mask(scan, mask) == []
        labels = nib.load(mask)
        assert set(np.unique(np.asarray(labels.dataobj))) <= {0, 1, 2}
        if ".nii" not in self.ending:
            return
        said = header_by_nibabel(data)
        shape = (*said.get_data_shape(), 1, 1)[:3]
        assert labels.shape[:3] == shape[: len(labels.shape)]
        np.testing.assert_array_equal(labels.affine, said.get_best_affine())


def header_by_nibabel(data: bytes) -> nib.Nifti1Header:
    """Read the header alone: nibabel gives up on damaged extensions, which nothing depends on."""
    start = gzip.GzipFile(fileobj=io.BytesIO(data)).read(540) if data[:2] == b"\x1f\x8b" else data
    second = 540 in (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big"))
    kind = nib.Nifti2Header if second else nib.Nifti1Header
    return kind(start[: 540 if second else 348])


def squeezed(damage):
    """Damage the content before or the stream after compression."""

    def damaged(data, rng):
        if rng.random() < 0.5:
            return gzip.compress(damage(data, rng), 1)
        return damage(gzip.compress(data, 1), rng)

    return damaged


def read_recipe(data: bytes, folder: Path) -> None:
    (folder / "recipe.json").write_bytes(data)
    recipe = Recipe.load(folder / "recipe.json")
    assert Recipe.from_dict(recipe.to_dict()) == recipe


class Bundles:
    """A bundle of which one file is damaged."""

    def __init__(self, folder: Path, part: str) -> None:
        self.root = make_bundle(folder / f"for-{part.replace('/', '-')}")
        self.file = self.root / part
        self.seed = self.file.read_bytes() if self.file.exists() else b'{"version": "0.1"}'

    def __call__(self, data: bytes, folder: Path) -> None:
        del folder
        self.file.write_bytes(data)
        bundle = open_bundle(self.root)
        network = bundle.recipe.network
        empty = UNet2D(network.in_channels, network.out_channels, network.sizes)
        load_weights(empty, bundle.weights_path)
        assert all(torch.is_tensor(value) for value in empty.state_dict().values())


class PrecisionReports:
    """The precision report of an export, whose other files are as it says."""

    def __init__(self) -> None:
        digest = hashlib.sha256(b"x").hexdigest()
        files = dict.fromkeys(model_files("fp32"), digest)
        content = {"schema_version": SCHEMA_VERSION, "weights_sha256": digest, "files": files}
        self.seed = json.dumps(content).encode()

    def __call__(self, data: bytes, folder: Path) -> None:
        export = export_folder(folder / "model.pt")
        export.mkdir(exist_ok=True)
        for path in (folder / "model.pt", *(export / name for name in model_files("fp32"))):
            path.write_bytes(b"x")
        (export / PRECISION_REPORT).write_bytes(data)
        assert verified_model(folder / "model.pt", "fp32").is_file()


def list_reader(name: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        for file in ("a.nii.gz", "b.nii.gz", "am.nii.gz", "bm.nii.gz"):
            (folder / file).touch()
        (folder / name).write_bytes(data)
        cases = read_datalist(folder / name).cases
        assert cases
        assert all(case.label.is_file() for case in cases)

    return read


def resume(data: bytes, folder: Path) -> None:
    """Run a batch whose ledger is damaged: it goes on, or says that this is no ledger."""
    out = folder / "out"
    if not (folder / "in").is_dir():
        (folder / "in").mkdir()
        scan = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), AFFINE)
        nib.save(scan, folder / "in/a.nii")
    out.mkdir(exist_ok=True)
    (out / "ledger.jsonl").write_bytes(data)
    report = run_cases(folder)
    assert report.exit_code in (0, 1)


def read_foreign_sidecar(data: bytes, folder: Path) -> None:
    from unet_med.batch.sidecar import refuse_foreign_sidecar

    path = sidecar_path(folder / "m.nii.gz")
    path.write_bytes(data)
    refuse_foreign_sidecar(path)


def check_mask_metadata(data: bytes, folder: Path) -> None:
    (folder / "mask.nii").write_bytes(data)
    assert isinstance(read_mask_metadata(folder / "mask.nii"), dict)


def mask_seed() -> bytes:
    image = nib.Nifti1Image(np.ones((3, 4, 5), np.uint8), AFFINE)
    notes = {"unet_med": {"labels": {"1": "one", "2": "two"}, "provenance": {"version": "1"}}}
    image.header.extensions.append(
        nib.nifti1.Nifti1Extension("comment", json.dumps(notes).encode())
    )
    return image.to_bytes()


LIST = {
    "training": [
        {"image": "a.nii.gz", "label": "am.nii.gz", "id": "a", "patient": "p", "fold": 1},
        {"image": ["b.nii.gz"], "label": "bm.nii.gz"},
    ],
    "validation": [],
    "labels": {"0": "background", "1": "one"},
    "modality": {"0": "MRI"},
}
CSV = (
    b"id,image,label,patient,fold,split\n"
    b"a,a.nii.gz,am.nii.gz,p,0,train\nb,b.nii.gz,bm.nii.gz,q,1,\n"
)
LEDGER = (
    b'{"case": "a", "output": "a.nii.gz", "status": "started", "fingerprint": "f", "time": "t"}\n'
    b'{"case": "a", "output": "a.nii.gz", "status": "done", "mask_sha256": "d", '
    b'"seconds": {"x": 1}}\n'
)


def all_targets(folder: Path) -> list[Target]:
    """Make every target; ``folder`` holds their bundles."""
    seeds = nifti_seeds()
    weights, metadata = (
        Bundles(folder, "models/model.pt"), Bundles(folder, "configs/metadata.json"),
    )  # fmt: skip
    others = other_seeds(folder / "others")
    recipe = (weights.root / "configs/recipe.json").read_bytes()
    reports = PrecisionReports()
    sidecar = b'{"program": {"name": "unet_med", "version": "1"}}'
    return [
        Target("scan.nii", seeds, mutated, Scans(folder, ".nii"), 6),
        Target("scan.nii.gz", seeds, squeezed(mutated), Scans(folder, ".nii.gz"), 6),
        *(
            Target(
                f"scan{ending}",
                tuple(data for name, data in others.items() if name.endswith(ending)),
                mutated_text if ending in {".nrrd", ".mha"} else mutated,
                Scans(folder, ending),
                2,
            )
            for ending in (".nrrd", ".mha", ".mgh", ".dcm")
        ),
        Target("mask metadata", (mask_seed(),), mutated, check_mask_metadata, 2),
        Target("recipe", (recipe,), mutated_text, read_recipe, 3),
        Target("weights", (weights.seed,), mutated, weights, 1),
        Target("metadata", (metadata.seed,), mutated_text, metadata, 1),
        Target("precision report", (reports.seed,), mutated_text, reports, 1),
        Target("list.json", (json.dumps(LIST).encode(),), mutated_text, list_reader("l.json"), 2),
        Target("list.csv", (CSV,), mutated_text, list_reader("l.csv"), 2),
        Target("ledger", (LEDGER,), mutated_text, resume, 1),
        Target("sidecar", (sidecar,), mutated_text, read_foreign_sidecar, 1),
    ]
