"""nnU-Net, Decathlon and BIDS data sets, which bring names of their own."""

from __future__ import annotations

import json

from tests.cases.datasets import SHAPE, labels, save, scan, summary, touch, write_cases
from unet_med.cases import DatasetInfo, find_training_cases


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
        "labels": {"background": 0, "liver": 1, "tumor": 2, "ignore": 3},
    }  # fmt: skip
    found = find_training_cases(nnunet(tmp_path, content))
    assert [case.id for case in found.cases] == ["A_000", "A_001"]
    assert [len(case.images) for case in found.cases] == [2, 2]
    assert found.info.channels == ("CT", "PET")
    assert found.info.modalities == ("CT", "")
    assert found.info.labels == {1: "liver", 2: "tumor"}
    assert found.info.ignore == 3
    also = find_training_cases(tmp_path / "imagesTr", tmp_path / "labelsTr")
    assert (also.cases, also.info) == (found.cases, found.info)


def test_regions_of_nnunet_keep_their_order(tmp_path):
    content = {
        "channel_names": {"0": "T1", "1": "T2"}, "regions_class_order": [1, 2],
        "labels": {"background": 0, "whole": [1, 2], "core": 2},
    }  # fmt: skip
    info = find_training_cases(nnunet(tmp_path, content)).info
    assert list(info.regions.items()) == [("whole", (1, 2)), ("core", (2,))]
    assert not info.labels


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
    assert found.info.labels == {1: "a", 4: "b"}
    assert found.info.channels == ("FLAIR", "T1w")


def test_names_that_the_user_states_go_before_those_of_the_data(tmp_path):
    decathlon(tmp_path)
    found = find_training_cases(tmp_path, info=DatasetInfo(labels={1: "own", 4: "other"}, ignore=9))
    assert found.info.labels == {1: "own", 4: "other"}
    assert found.info.ignore == 9
    assert found.info.channels == ("FLAIR", "T1w")


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
    assert found.info.channels == ("FLAIR", "T1w")
    stem = "sub-02/ses-a/anat/sub-02_ses-a"
    assert summary(found, tmp_path)["sub-02_ses-a"] == (
        [f"{stem}_FLAIR.nii.gz", f"{stem}_run-1_T1w.nii.gz"],
        f"derivatives/manual/{stem}_space-orig_desc-x_dseg.nii.gz",
    )
    assert {case.patient for case in found.cases} == {"sub-01", "sub-02"}
    assert [lonely.id for lonely in found.unpaired] == ["sub-03"]


def test_the_bids_folder_may_be_named_for_the_label_maps_too(tmp_path):
    bids(tmp_path)
    touch(tmp_path, "derivatives/manual/sub-01/ses-a/anat/sub-01_ses-a_space-orig_T1w.nii.gz")
    assert find_training_cases(tmp_path, tmp_path) == find_training_cases(tmp_path)


def test_bids_with_two_runs_says_so_instead_of_choosing(tmp_path):
    bids(tmp_path)
    touch(tmp_path, "sub-01/ses-a/anat/sub-01_ses-a_run-2_T1w.nii.gz")
    found = find_training_cases(tmp_path)
    assert "sub-01_ses-a" not in {case.id for case in found.cases}
    assert any("2 scans T1w" in lonely.why for lonely in found.unpaired)
