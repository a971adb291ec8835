from __future__ import annotations

import json

import numpy as np
import pytest

from tests.dataset.made import SHAPE, labels, save, scan, write_cases
from unet_med.dataset import Naming, find_training_cases
from unet_med.errors import InputError


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def summary(found, root):
    """Id, images and label of each case, relative to the data set."""
    return {
        case.id: (
            [path.relative_to(root).as_posix() for path in case.images],
            case.label.relative_to(root).as_posix(),
        )
        for case in found.cases
    }


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
        tmp_path / "i", tmp_path / "l", naming=Naming(channels=("T1", "FLAIR"))
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
    assert found.naming.channels == ("flair", "t1", "t1ce")
    assert summary(found, tmp_path)["B_2"] == (
        [f"d/B_2/B_2_{word}.nii.gz" for word in ("flair", "t1", "t1ce")],
        "d/B_2/B_2_seg.nii.gz",
    )


def test_what_has_no_other_half_is_named_with_what_looks_like_it(tmp_path):
    touch(tmp_path, "i/anna.nii", "i/bert.nii", "i/carl.nii", "l/anna.nii", "l/brt.nii")
    found = find_training_cases(tmp_path / "i", tmp_path / "l")
    assert [case.id for case in found.cases] == ["anna"]
    lonely = {(one.id, one.role): one.near for one in found.unpaired}
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
    from unet_med.dataset.patients import patients_of

    assert patients_of(ids)[0] == (patients or ids)


def nnunet(root, content, n=2):
    for seed in range(n):
        for channel in range(2):
            save(root / f"imagesTr/A_{seed:03d}_{channel:04d}.nii.gz", scan(seed + 9 * channel))
        save(root / f"labelsTr/A_{seed:03d}.nii.gz", labels(seed, values=(1, 2)))
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def test_an_nnunet_folder_brings_its_names(tmp_path):
    content = {
        "channel_names": {"0": "CT", "1": "PET"}, "numTraining": 2, "file_ending": ".nii.gz",
        "labels": {"background": 0, "liver": 1, "tumour": 2, "ignore": 3},
    }  # fmt: skip
    found = find_training_cases(nnunet(tmp_path, content))
    assert [case.id for case in found.cases] == ["A_000", "A_001"]
    assert [len(case.images) for case in found.cases] == [2, 2]
    assert found.naming.channels == ("CT", "PET")
    assert found.naming.modalities == ("CT", "")
    assert found.naming.labels == {1: "liver", 2: "tumour"}
    assert found.naming.ignore == 3
    also = find_training_cases(tmp_path / "imagesTr", tmp_path / "labelsTr")
    assert (also.cases, also.naming) == (found.cases, found.naming)


def test_regions_of_nnunet_keep_their_order(tmp_path):
    content = {
        "channel_names": {"0": "T1", "1": "T2"}, "regions_class_order": [1, 2],
        "labels": {"background": 0, "whole": [1, 2], "core": 2},
    }  # fmt: skip
    naming = find_training_cases(nnunet(tmp_path, content)).naming
    assert list(naming.regions.items()) == [("whole", (1, 2)), ("core", (2,))]
    assert not naming.labels


def decathlon(root, **more):
    images, label_folder = write_cases(root, 3, name="la_00{}", shape=(*SHAPE, 2))
    images.rename(root / "imagesTr")
    label_folder.rename(root / "labelsTr")
    entries = [
        {"image": f"./imagesTr/la_00{n}.nii.gz", "label": f"./labelsTr/la_00{n}.nii.gz"}
        for n in range(3)
    ]
    content = {
        "modality": {"0": "FLAIR", "1": "T1w"}, "labels": {"0": "background", "1": "a", "4": "b"},
        "training": entries, "test": ["./imagesTs/la_009.nii.gz"], **more,
    }  # fmt: skip
    (root / "dataset.json").write_text(json.dumps(content))
    return content


def test_a_decathlon_folder_and_its_list_are_the_same(tmp_path):
    decathlon(tmp_path)
    found = find_training_cases(tmp_path)
    assert found == find_training_cases(list_file=tmp_path / "dataset.json")
    assert summary(found, tmp_path)["la_001"] == (
        ["imagesTr/la_001.nii.gz"],
        "labelsTr/la_001.nii.gz",
    )
    assert found.naming.labels == {1: "a", 4: "b"}
    assert found.naming.channels == ("FLAIR", "T1w")


def test_a_csv_states_channels_patients_and_folds(tmp_path):
    write_cases(tmp_path, 4)
    rows = ["ID;image_t1;image_flair;Label;patient;fold;split"]
    for n in range(4):
        split = "test" if n == 3 else "val" if n == 2 else ""
        scan_path = f"images/case{n}.nii.gz"
        rows.append(f"k{n};{scan_path};{scan_path};labels/case{n}.nii.gz;P{n // 2};{n};{split}")
    (tmp_path / "list.csv").write_text("\ufeff" + "\n".join(rows) + "\n\n", encoding="utf-8")
    found = find_training_cases(list_file=tmp_path / "list.csv")
    assert [(c.id, c.patient, c.fold, c.held_out) for c in found.cases] == [
        ("k0", "P0", 0, False), ("k1", "P0", 1, False), ("k2", "P1", 2, True),
    ]  # fmt: skip
    assert found.naming.channels == ("t1", "flair")
    assert len(found.cases[0].images) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,label\n../../etc/a.nii,labels/case0.nii.gz\n", "line 2.*leaves the list's folder"),
        ("image,label\nimages/x.nii.gz,labels/case0.nii.gz\n", "1 files of the list do not exist"),
        ("image,mask_path\na,b\n", "needs the columns image and label"),
        ("image,label\nimages/case0.nii.gz,\n", "line 2: label must be a text"),
        ("image,label,fold\nimages/case0.nii.gz,labels/case0.nii.gz,one\n", "whole number"),
        ("image,label,split\nimages/case0.nii.gz,labels/case0.nii.gz,maybe\n", "split must be"),
        ("image,label\n", "lists no training case"),
        ("image,label\n" + "images/case0.nii.gz,labels/case0.nii.gz\n" * 2, "are the same case"),
        ('image,label\n"a', "no valid CSV"),
        ("", "needs the columns"),
    ],
)
def test_a_csv_that_cannot_be_used_is_one_clear_line(tmp_path, text, message):
    write_cases(tmp_path, 1)
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        find_training_cases(list_file=tmp_path / "list.csv")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", "no UTF-8"),
        (b"[" * 100_000, "no valid JSON"),
        (b'{"training": "all"}', "must hold"),
        (b"[1]", "must be an object"),
        (b'[{"image": 3, "label": "b"}]', "image must be a text"),
        (b'[{"image": "$__import__(\'os\').system(\'x\')", "label": "b"}]', "do not exist"),
        (b'[{"image": "a\\u0000b", "label": "b"}]', "is no path"),
        (b'[{"image": "/a/../etc/x", "label": "b"}]', "leaves the list's folder"),
        (b'[{"image": "a", "label": "b", "fold": true}]', "whole number"),
        (b'[{"image": ["a", "c"], "label": "b"}, {"image": "d", "label": "e"}]', "1 and 2 images"),
        (b'{"training": [{"image": "a", "label": "b"}], "labels": [1]}', "labels must be an"),
    ],
)
def test_a_hostile_json_list_is_one_clear_line(tmp_path, content, message):
    (tmp_path / "list.json").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        find_training_cases(list_file=tmp_path / "list.json")
    assert "\n" not in str(caught.value)


def test_a_list_too_large_is_not_read(tmp_path):
    with (tmp_path / "list.json").open("wb") as file:
        file.truncate(1 << 26)  # a hole: takes no disk
    with pytest.raises(InputError, match="at most"):
        find_training_cases(list_file=tmp_path / "list.json")


def bids(root):
    for subject in ("01", "02"):
        for session in ("a", "b"):
            stem = f"sub-{subject}/ses-{session}/anat/sub-{subject}_ses-{session}"
            touch(root, f"{stem}_run-1_T1w.nii.gz", f"{stem}_FLAIR.nii.gz")
            touch(root, f"derivatives/manual/{stem}_space-orig_desc-x_dseg.nii.gz")
            touch(root, f"derivatives/manual/{stem}_desc-brain_mask.nii.gz")
    touch(root, "sub-03/anat/sub-03_T1w.nii.gz", "dataset_description.json")
    return root


def test_bids_derivatives_find_their_scans(tmp_path):
    found = find_training_cases(bids(tmp_path))
    assert found.naming.channels == ("FLAIR", "T1w")
    stem = "sub-02/ses-a/anat/sub-02_ses-a"
    assert summary(found, tmp_path)["sub-02_ses-a"] == (
        [f"{stem}_FLAIR.nii.gz", f"{stem}_run-1_T1w.nii.gz"],
        f"derivatives/manual/{stem}_space-orig_desc-x_dseg.nii.gz",
    )
    assert {case.patient for case in found.cases} == {"sub-01", "sub-02"}
    assert [lonely.id for lonely in found.unpaired] == ["sub-03"]


def test_bids_with_two_runs_says_so_instead_of_choosing(tmp_path):
    bids(tmp_path)
    touch(tmp_path, "sub-01/ses-a/anat/sub-01_ses-a_run-2_T1w.nii.gz")
    found = find_training_cases(tmp_path)
    assert "sub-01_ses-a" not in {case.id for case in found.cases}
    assert any("2 scans T1w" in lonely.why for lonely in found.unpaired)


def test_names_that_the_user_states_go_before_those_of_the_data(tmp_path):
    decathlon(tmp_path)
    found = find_training_cases(tmp_path, naming=Naming(labels={1: "own", 4: "other"}, ignore=9))
    assert found.naming.labels == {1: "own", 4: "other"}
    assert found.naming.ignore == 9
    assert found.naming.channels == ("FLAIR", "T1w")


def test_label_arrays_of_the_builder_have_gaps():
    assert np.unique(labels()).tolist() == [0, 1, 4]
