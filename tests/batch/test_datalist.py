"""Data lists for bundle configs: the cases of the command line, checked beforehand."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from unet_med.batch.datalist import datalist, labeled_datalist, partition_cases
from unet_med.errors import InputError, OutputError
from unet_med.recipe import Channel, NetworkRecipe, Recipe


def recipe(n_channels=1):
    channels = tuple(Channel(f"channel{n}") for n in range(n_channels))
    return Recipe("tiny", NetworkRecipe(n_channels, 2, (4, 8)), channels, {1: "one"})


@pytest.fixture
def touch(tmp_path):
    """Make empty files below a folder: only names matter here."""

    def make(folder, *names):
        for name in names:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / folder

    return make


def test_cases_that_do_not_fit_are_split_from_the_others(tmp_path):
    affine = np.diag([1.0, 1, 3, 1])
    for name, shape in (("a", (5, 6, 4)), ("b", (5, 6, 4)), ("c", (5, 6, 4, 2))):
        for folder in ("images", "labels"):
            (tmp_path / folder).mkdir(exist_ok=True)
            size = (5, 6, 9) if (folder, name) == ("labels", "b") else shape
            nib.save(
                nib.Nifti1Image(np.zeros(size, np.uint8), affine), tmp_path / folder / f"{name}.nii"
            )
    (tmp_path / "images/d.nii").write_bytes(b"no scan")
    (tmp_path / "labels/d.nii").write_bytes(b"no mask")
    cases = labeled_datalist(tmp_path / "images", tmp_path / "labels", recipe=recipe())
    fitting, failed = partition_cases(cases, recipe=recipe())
    assert fitting == [cases[0]]
    reasons = {Path(path).stem: why for path, why in failed.items()}
    assert sorted(reasons) == ["b", "c", "d"]
    assert "shape (5, 6, 4) vs (5, 6, 9)" in reasons["b"]
    assert "has 2 channels, expected 1" in reasons["c"]
    with pytest.raises(InputError, match=r"none of 3 cases can be scored, first .*b.nii"):
        partition_cases(cases[1:], recipe=recipe())


def test_one_channel_is_one_file_per_case(touch, tmp_path):
    scans = touch("scans", "b.nii.gz", "ward 3/a.nii", "notes.txt")
    assert datalist(scans, recipe=recipe(), output=tmp_path / "out") == [
        {"image": [str(scans / "b.nii.gz")], "case": "b"},
        {"image": [str(scans / "ward 3/a.nii")], "case": "ward 3/a"},
    ]
    (single,) = datalist(str(scans / "b.nii.gz"), recipe=recipe())
    assert single["case"] == "b"


def test_channels_come_in_the_recipes_order(touch):
    scans = touch("scans", "a_0001.nii.gz", "a_0000.nii.gz")
    (case,) = datalist([scans], recipe=recipe(2))
    assert case == {"image": [str(scans / f"a_000{n}.nii.gz") for n in (0, 1)], "case": "a"}


def test_an_incomplete_case_is_named(touch):
    scans = touch("scans", "a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz")
    with pytest.raises(InputError, match="b"):
        datalist(scans, recipe=recipe(2))


def test_equal_names_are_refused(touch):
    scans = touch("scans", "a.nii", "a.nii.gz")
    with pytest.raises(InputError, match="rename"):
        datalist(scans, recipe=recipe())


def test_the_output_must_lie_outside(touch):
    scans = touch("scans", "a.nii.gz")
    with pytest.raises(InputError, match="outside"):
        datalist(scans, recipe=recipe(), output=scans / "out")


def test_names_that_became_numbers_are_refused(touch, tmp_path, monkeypatch):
    """MONAI's command line makes 20260131 of a folder called 2026_01_31, which is another one."""
    monkeypatch.chdir(tmp_path)
    scans = touch("20260131", "a.nii")
    with pytest.raises(InputError, match=r"dataset_dir came as the number 20260131, .* \./NAME"):
        datalist(20260131, recipe=recipe())
    with pytest.raises(InputError, match="output_dir came as the number 2026"):
        datalist(scans, recipe=recipe(), output=2026)
    assert len(datalist("./20260131", recipe=recipe())) == 1


def test_existing_masks_are_named_before_anything_runs(touch, tmp_path):
    scans = touch("scans", "a.nii.gz", "b.nii.gz")
    touch("out", "b.nii.gz")
    with pytest.raises(OutputError, match=r"1 masks exist already: .*b\.nii\.gz"):
        datalist(scans, recipe=recipe(), output=tmp_path / "out")
    assert len(datalist(scans, recipe=recipe(), output=tmp_path / "out", overwrite=True)) == 2


def test_references_are_paired_by_relative_name(touch):
    images = touch("images", "a.nii.gz", "ward/a.nii.gz")
    labels = touch("labels", "a.nii", "ward/a.nii.gz")
    found = labeled_datalist(images, labels, recipe=recipe())
    assert [(item["case"], item["label"]) for item in found] == [
        ("a", str(labels / "a.nii")),
        ("ward/a", str(labels / "ward/a.nii.gz")),
    ]


def test_a_first_channel_has_the_reference_of_its_case(touch):
    images = touch("images", "a_0000.nii.gz", "ward/b_0000.nii.gz", "c_0000.nii.gz")
    labels = touch("labels", "a.nii.gz", "ward/b.nii.gz", "c_0000.nii.gz")
    found = labeled_datalist(images, labels, recipe=recipe())
    assert [Path(item["label"]).relative_to(labels).as_posix() for item in found] == [
        "a.nii.gz", "c_0000.nii.gz", "ward/b.nii.gz",
    ]  # fmt: skip
    assert [item["case"] for item in found] == ["a_0000", "c_0000", "ward/b_0000"]
    touch("images", "a.nii.gz")  # now two scans could be meant
    with pytest.raises(InputError, match="a_0000"):
        labeled_datalist(images, labels, recipe=recipe())


@pytest.mark.parametrize(
    "labels",
    [("b.nii",), ("a.nii", "b.nii", "c.nii"), ("a.nii", "b.nii", "b.nii.gz")],
    ids=["missing", "extra", "double"],
)
def test_a_case_without_exactly_one_reference_is_named(touch, labels):
    images = touch("images", "a.nii.gz", "b.nii.gz")
    wrong = {1: "a", 3: "c" if "c.nii" in labels else "b"}[len(labels)]
    with pytest.raises(InputError, match=f"1 cases .*: {wrong}; name"):
        labeled_datalist(images, touch("labels", *labels), recipe=recipe())
