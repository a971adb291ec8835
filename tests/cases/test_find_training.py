"""Folders of scans and label maps as cases."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cases.datasets import labels, summary, touch, write_cases
from unet_med.cases import DatasetInfo, find_training_cases
from unet_med.errors import InputError


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/p{}.nii.gz", "labels/p{}.nii.gz"),
        ("images/p{}.nii.gz", "labels/p{}.nii"),
        ("images/site/p{}.nii.gz", "labels/site/p{}.nii.gz"),
        ("images/site/p{}.nii.gz", "labels/p{}.nii.gz"),
        ("images/p{}_0000.nii.gz", "labels/p{}.nii.gz"),
        ("images/p{}.nii.gz", "labels/p{}_seg.nii.gz"),
        ("images/p{}_ct.nii.gz", "labels/p{}-mask.nii.gz"),
        ("images/volume-{}.nii", "labels/segmentation-{}.nii"),
        ("images/img000{}.nii.gz", "labels/label000{}.nii.gz"),
        ("images/p{}/scan.nii.gz", "labels/p{}/label.nii.gz"),
        ("images/p{}/scan.nii.gz", "labels/p{}.nii.gz"),
        ("both/p{}.nii.gz", "both/p{}_label.nii.gz"),
        ("both/p{}/scan.nii.gz", "both/p{}/mask.nii.gz"),
        ("both/p{}.nii.gz", "both/labels/p{}.nii.gz"),
    ],
)
def test_two_folders_are_paired_as_people_name_them(tmp_path, image, label):
    for n in (1, 2, 3):
        touch(tmp_path, image.format(n), label.format(n))
    folders = [tmp_path / text.split("/")[0] for text in (image, label)]
    if label.startswith("both/labels"):
        folders[1] /= "labels"
    found = find_training_cases(*folders)
    assert list(summary(found, tmp_path).values()) == [
        ([image.format(n)], label.format(n)) for n in (1, 2, 3)
    ]
    assert not found.unpaired
    assert found.rule
    assert len({case.patient for case in found.cases}) == 3


def test_a_number_that_counts_cases_is_no_channel(tmp_path):
    touch(tmp_path, "i/a_0000.nii", "i/a_0001.nii", "l/a_0000.nii", "l/a_0001.nii")
    found = find_training_cases(tmp_path / "i", tmp_path / "l")
    assert [case.id for case in found.cases] == ["a_0000", "a_0001"]


def test_numbered_channels_are_one_case_and_a_lacking_one_is_named(tmp_path):
    touch(tmp_path, *(f"i/p{n}_000{c}.nii.gz" for n in (1, 2, 3) for c in (0, 1)))
    touch(tmp_path, *(f"l/p{n}.nii.gz" for n in (1, 2, 3)))
    (tmp_path / "i/p2_0001.nii.gz").unlink()
    found = find_training_cases(
        tmp_path / "i", tmp_path / "l", info=DatasetInfo(channels=("T1", "FLAIR"))
    )
    assert summary(found, tmp_path)["p3"] == (
        ["i/p3_0000.nii.gz", "i/p3_0001.nii.gz"],
        "l/p3.nii.gz",
    )
    assert [case.id for case in found.cases] == ["p1", "p3"]
    assert [lonely.id for lonely in found.unpaired] == ["p2"]
    assert "_0001 (FLAIR)" in found.unpaired[0].why
    assert "channels _0000 to _0001" in found.rule


def test_channels_in_sub_folders_take_the_words_that_tell_them_apart(tmp_path):
    for n in (1, 2):
        touch(tmp_path, *(f"d/B_{n}/B_{n}_{w}.nii.gz" for w in ("t1", "t1ce", "flair", "seg")))
    found = find_training_cases(tmp_path / "d")
    assert found.info.channels == ("flair", "t1", "t1ce")
    assert summary(found, tmp_path)["B_2"] == (
        [f"d/B_2/B_2_{word}.nii.gz" for word in ("flair", "t1", "t1ce")],
        "d/B_2/B_2_seg.nii.gz",
    )


def test_one_folder_per_channel(tmp_path):
    touch(tmp_path, *(f"i/{channel}/p{n}.nii.gz" for channel in ("T2", "T1") for n in (1, 2, 3)))
    touch(tmp_path, *(f"l/p{n}.nii.gz" for n in (1, 2, 3)))
    found = find_training_cases(tmp_path / "i", tmp_path / "l")
    assert found.info.channels == ("T1", "T2")
    assert summary(found, tmp_path) == {
        f"p{n}": ([f"i/T1/p{n}.nii.gz", f"i/T2/p{n}.nii.gz"], f"l/p{n}.nii.gz") for n in (1, 2, 3)
    }
    assert "one sub-folder per channel (T1, T2); its label has the same name" in found.rule
    other = find_training_cases(
        tmp_path / "i", tmp_path / "l", info=DatasetInfo(channels=("t2", "t1"))
    )
    assert other.cases[0].images == (tmp_path / "i/T2/p1.nii.gz", tmp_path / "i/T1/p1.nii.gz")
    assert other.info.channels == ("t2", "t1")
    with pytest.raises(InputError, match="channels are named T1, CT: name them as the folders"):
        find_training_cases(tmp_path / "i", tmp_path / "l", info=DatasetInfo(channels=("T1", "CT")))


def test_folders_that_hold_other_names_are_no_channels(tmp_path):
    """Two sites may use one number for two people."""
    touch(tmp_path, "i/a/p1.nii", "i/b/p1.nii", "i/b/p2.nii", "l/p1.nii", "l/p2.nii")
    found = find_training_cases(tmp_path / "i", tmp_path / "l")
    assert [case.id for case in found.cases] == ["p2"]
    assert "if their folders are its channels, all must hold the same" in found.unpaired[0].why


def test_folders_that_could_be_cases_or_channels_are_refused(tmp_path):
    touch(tmp_path, "i/a/a.nii", "i/a/b.nii", "i/b/a.nii", "i/b/b.nii", "l/a.nii", "l/b.nii")
    with pytest.raises(InputError, match="could be a case or a channel"):
        find_training_cases(tmp_path / "i", tmp_path / "l")


def test_what_has_no_other_half_is_named_with_what_looks_like_it(tmp_path):
    touch(tmp_path, "i/anna.nii", "i/bert.nii", "i/carl.nii", "l/anna.nii", "l/brt.nii")
    found = find_training_cases(tmp_path / "i", tmp_path / "l")
    assert [case.id for case in found.cases] == ["anna"]
    lonely = {(one.id, one.role): one.suggestions for one in found.unpaired}
    assert lonely[("bert", "image")] == ("brt",)
    assert lonely[("brt", "label")] == ("bert",)
    assert ("carl", "image") in lonely


def test_two_labels_of_one_name_are_no_pair(tmp_path):
    touch(tmp_path, "i/a.nii", "i/b.nii", "l/a.nii", "l/a.nii.gz", "l/b.nii")
    found = find_training_cases(tmp_path / "i", tmp_path / "l")
    assert [case.id for case in found.cases] == ["b"]
    assert "more than one label map" in found.unpaired[0].why


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("i/a.nii", "l/zz.nii"), "no label map has the name of a scan"),
        (("i/a.txt", "l/a.nii"), "no volume"),
        (("i/a.nii",), "does not exist"),
    ],
)
def test_nothing_to_pair_is_one_clear_line(tmp_path, names, message):
    touch(tmp_path, *names)
    with pytest.raises(InputError, match=message) as caught:
        find_training_cases(tmp_path / "i", tmp_path / "l")
    assert "\n" not in str(caught.value)


def test_no_folder_at_all_says_what_to_name():
    with pytest.raises(InputError, match="or a list"):
        find_training_cases()


def test_patients_are_kept_together_by_a_stated_rule(tmp_path):
    images, label_folder = write_cases(tmp_path, 2, name="p{}_pre")
    write_cases(tmp_path, 2, name="p{}_post")
    found = find_training_cases(images, label_folder)
    assert {case.id: case.patient for case in found.cases} == {
        "p0_pre": "p0", "p0_post": "p0", "p1_pre": "p1", "p1_post": "p1",
    }  # fmt: skip
    assert "before its last" in found.patients


@pytest.mark.parametrize(
    ("ids", "patients"),
    [
        (["BraTS20_Training_001", "BraTS20_Training_002"], None),
        (["site1_001", "site1_002", "site2_001"], None),
        (["p1_20190102", "p1_20200102", "p2_20190102"], ["p1", "p1", "p2"]),
        (["sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1"], ["sub-01", "sub-01", "sub-02"]),
        (["anna", "bert"], None),
    ],
)
def test_patients_of_ids(ids, patients):
    from unet_med.cases.filenames import patients_of

    assert patients_of(ids)[0] == (patients or ids)


def test_label_arrays_of_the_builder_have_gaps():
    assert np.unique(labels()).tolist() == [0, 1, 4]
