"""Cached slices are what inference sees; the folder is safe to share."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.cases.datasets import save
from tests.training.bundles import make_plan, make_recipe, write_cases
from unet_med.errors import GeometryError, InputError, OutputError
from unet_med.inference import SlicePipeline, VolumeSlices, iter_batches, volume_statistics
from unet_med.preprocessing import Context
from unet_med.recipe import NetworkRecipe
from unet_med.training import SliceCache, TargetEncoding, TrainingCase
from unet_med.training.data.cache import _create, resample_codes
from unet_med.training.data.patch_sampler import PatchLocation, extract_patch
from unet_med.training.planning import PlanSettings, SourceData, plan_training
from unet_med.volumes import open_volume

ROOT = Path("/")


def open_cache(folder, cases, recipe=None):
    recipe = recipe or make_recipe()
    return SliceCache(folder, recipe, TargetEncoding.from_recipe(recipe, make_plan(cases)))


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
def test_a_cached_slice_is_what_the_network_is_given(tmp_path, axis):
    recipe = make_recipe(
        network=NetworkRecipe(3, 4, (4, 8)), context=Context(3, 3.0),
        in_plane_spacing_mm=1.7, slice_axis=axis,
    )  # fmt: skip
    (case,) = write_cases(tmp_path, ["a"])
    flipped = nib.load(case.images[0])
    affine = flipped.affine @ np.diag([-1, 1, -1, 1])
    for path in (case.images[0], case.label):
        nib.save(nib.Nifti1Image(nib.load(path).get_fdata(), affine), path)
    cached = open_cache(tmp_path / "cache", [case], recipe).open(case, root=ROOT)
    volume = open_volume(case.images[0])
    pipeline = SlicePipeline.for_scan(recipe, volume.geometry)
    rules = (recipe.channels[0].normalization,)
    source = VolumeSlices(volume, pipeline.layout, rules, volume_statistics(volume))
    for start, batch in iter_batches(source, pipeline):
        for number, expected in enumerate(batch, start=start):
            middle = PatchLocation(0, number, cached.shape[0] / 2, cached.shape[1] / 2)
            image, codes = extract_patch(cached, middle, cached.shape)
            np.testing.assert_allclose(image, expected, atol=5e-3)  # float16
            assert codes.shape == expected.shape[1:]


def test_labels_lie_where_the_scan_says(tmp_path):
    (case,) = write_cases(tmp_path, ["a"])
    cached = open_cache(tmp_path / "cache", [case]).open(case, root=ROOT)
    labels = np.asarray(nib.load(case.label).dataobj)  # RAS already: axial rows are y
    np.testing.assert_array_equal(cached.codes, labels.transpose(2, 1, 0))
    expected = [[(plane == code).sum() for code in range(4)] for plane in cached.codes]
    np.testing.assert_array_equal(cached.counts, expected)


def test_scans_in_two_files_with_equal_headers_are_told_apart(tmp_path):
    """Headers of Analyze pairs say nothing of their voxels."""
    affine = np.diag([1.0, 1, 4, 1])
    cases = []
    for number in range(2):
        rng = np.random.default_rng(number)
        paths = [tmp_path / f"{kind}{number}.img" for kind in ("scan", "label")]
        voxels = rng.integers(1, 500, (20, 24, 5)).astype(np.int16)
        nib.save(nib.Nifti1Pair(voxels, affine), paths[0])
        nib.save(nib.Nifti1Pair(np.full((20, 24, 5), 1 + number, np.uint8), affine), paths[1])
        image, label = (str(path.with_suffix(".hdr")) for path in paths)
        cases.append(TrainingCase(f"c{number}", (image,), label, f"c{number}"))
    cache = open_cache(tmp_path / "cache", cases)
    first, second = (cache.open(case, root=ROOT) for case in cases)
    assert not np.array_equal(first.images, second.images)
    assert (first.codes.max(), second.codes.max()) == (1, 2)


def test_a_dicom_series_is_trained_on(tmp_path):
    pytest.importorskip("pydicom")
    from tests.volumes.dicom_builders import noise, orthonormal, write_series

    affine = orthonormal()
    for name in ("a", "b"):
        write_series(tmp_path / "images" / name, noise((20, 24, 5), seed=ord(name)), affine)
        labels = np.zeros((20, 24, 5), np.uint8)
        labels[5:12, 6:15, 1:4] = 1
        save(tmp_path / "labels" / f"{name}.nii.gz", labels, affine)
    rows = [f"images/{name},labels/{name}.nii.gz" for name in ("a", "b")]
    (tmp_path / "list.csv").write_text("\n".join(["image,label", *rows]))
    for source in (
        SourceData(images=tmp_path / "images", labels=tmp_path / "labels"),
        SourceData(list_file=tmp_path / "list.csv"),
    ):
        planned = plan_training(source, PlanSettings(steps=1, sizes=(2, 4)))
        assert not planned.checked.errors
        codes = TargetEncoding.from_recipe(planned.recipe, planned.plan)
        cache = SliceCache(tmp_path / "cache", planned.recipe, codes)
        opened = [cache.open(case, root=ROOT) for case in planned.plan.cases]
        assert [case.n_slices for case in opened] == [5, 5]
        assert opened[0].codes.max() == 1


def test_what_most_of_a_coarse_pixel_is():
    class Halving:
        network_shape = (1, 2)

        @staticmethod
        def to_network(mask):
            return mask.reshape(1, 3, 2, 3).mean((1, 3))

    plane = np.array([[1, 1, 0, 5, 5, 5], [1, 0, 0, 255, 5, 0], [1, 1, 1, 5, 5, 5]], np.uint8)
    assert resample_codes(plane, Halving).tolist() == [[1, 5]]


def test_the_key_knows_content_and_recipe(tmp_path):
    cases = write_cases(tmp_path, ["a", "b"])
    folder = tmp_path / "cache"
    open_cache(folder, cases).open(cases[0], root=ROOT)
    before = {path.name for path in folder.iterdir()}
    open_cache(folder, cases).open(cases[0], root=ROOT)
    assert {path.name for path in folder.iterdir()} == before
    open_cache(folder, cases, make_recipe(in_plane_spacing_mm=2.5)).open(cases[0], root=ROOT)
    assert len(list(folder.iterdir())) == 2
    Path(cases[0].label).write_bytes(Path(cases[0].label).read_bytes() + b"\0")
    open_cache(folder, cases).open(cases[0], root=ROOT)
    assert len(list(folder.iterdir())) == 3


def test_several_may_write_at_once(tmp_path):
    cases = write_cases(tmp_path, ["a"])
    cache = open_cache(tmp_path / "cache", cases)
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: cache.open(cases[0], root=ROOT), range(4)))
    assert len(list((tmp_path / "cache").iterdir())) == 1
    for one in opened:
        np.testing.assert_array_equal(one.images, opened[0].images)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="Linux takes the space at once")
def test_a_new_file_has_its_disk_space_before_anything_is_written(tmp_path):
    array = _create(tmp_path / "images.npy", np.float16, (3, 500, 700))
    taken = (tmp_path / "images.npy").stat()
    assert taken.st_blocks * 512 >= taken.st_size > array.nbytes
    assert not array.any()


def test_faults_are_named(tmp_path, monkeypatch):
    a, b = write_cases(tmp_path, ["a", "b"])
    cache = open_cache(tmp_path / "cache", [a, b])
    with pytest.raises(GeometryError, match=r"b\.nii\.gz is not on the grid"):
        cache.open(type(a)("x", a.images, b.label, "x"), root=ROOT)
    with pytest.raises(InputError, match=r"nowhere\.nii"):
        cache.open(type(a)("x", ("nowhere.nii",), b.label, "x"), root=tmp_path)
    with pytest.raises(InputError, match="2 channels"):
        cache.open(type(a)("x", a.images * 2, a.label, "x"), root=ROOT)
    full = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("unet_med.training.data.cache.shutil.disk_usage", lambda _: full)
    with pytest.raises(OutputError, match="GB are needed"):
        cache.open(a, root=ROOT)
    assert not any((tmp_path / "cache").iterdir())
