"""Names of labels on their way from a data set to the warnings about a scan."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.cases.datasets import write_cases
from unet_med.cases import DatasetInfo
from unet_med.cli import main
from unet_med.errors import InputError
from unet_med.quality import volume_warnings
from unet_med.recipe import Recipe
from unet_med.training.planning import PlanSettings, SourceData, plan_training


def plain(root):
    images, labels = write_cases(root, 3)
    return SourceData(images=images, labels=labels)


def stated(root):
    images, labels = write_cases(root, 3)
    return SourceData(
        images=images, labels=labels, info=DatasetInfo(labels={1: "liver", 4: "spleen"})
    )


def raw(root, ending, content):
    """Lay a data set out as nnU-Net and the Decathlon do."""
    images, labels = write_cases(root / "made", 3)
    for folder, source, end in (("imagesTr", images, ending), ("labelsTr", labels, "")):
        (root / folder).mkdir()
        for path in source.iterdir():
            name = path.name.removesuffix(".nii.gz") + f"{end}.nii.gz"
            shutil.copy(path, root / folder / name)
    (root / "dataset.json").write_text(json.dumps(content))
    return root


NNUNET = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "liver": 1, "spleen": 4}}
DECATHLON = {
    "modality": {"0": "MRI"},
    "labels": {"0": "background", "1": "liver", "4": "spleen"},
    "training": [
        {"image": f"./imagesTr/case{n}.nii.gz", "label": f"./labelsTr/case{n}.nii.gz"}
        for n in range(3)
    ],
}


def nnunet(root):
    return SourceData(images=raw(root, "_0000", NNUNET))


def nnunet_folders(root):
    raw(root, "_0000", NNUNET)
    return SourceData(images=root / "imagesTr", labels=root / "labelsTr")


def decathlon(root):
    return SourceData(images=raw(root, "", DECATHLON))


def decathlon_list(root):
    return SourceData(list_file=raw(root, "", DECATHLON) / "dataset.json")


@pytest.mark.parametrize("lay", [stated, nnunet, nnunet_folders, decathlon, decathlon_list])
def test_volumes_go_by_the_names_that_were_given(tmp_path, lay):
    recipe = plan_training(lay(tmp_path), PlanSettings(steps=1)).recipe
    assert recipe.labels == {1: "liver", 4: "spleen"}
    assert list(recipe.fingerprint.volumes_ml) == ["liver", "spleen"]
    usual = {name: pair[0] for name, pair in recipe.fingerprint.volumes_ml.items()}
    assert volume_warnings(recipe.fingerprint, usual) == ()
    (said,) = volume_warnings(recipe.fingerprint, usual | {"spleen": 9.0})
    assert said.startswith("the volume of spleen is 9 ml; in training it was ")


def test_without_names_the_value_is_named(tmp_path):
    recipe = plan_training(plain(tmp_path), PlanSettings(steps=1)).recipe
    usual = {name: pair[0] for name, pair in recipe.fingerprint.volumes_ml.items()}
    (said,) = volume_warnings(recipe.fingerprint, usual | {"label 4": 9.0})
    assert said.startswith("the volume of label 4 is 9 ml; in training it was ")


def test_the_command_line_names_labels(tmp_path):
    images, labels = write_cases(tmp_path, 3)
    command = ["plan", f"--images={images}", f"--labels={labels}", "--steps=1"]
    command += ["--label-names=1=liver,4=left kidney", f"--output={tmp_path / 'b'}"]
    assert main(command) == 0
    recipe = Recipe.load(tmp_path / "b/configs/recipe.json")
    assert list(recipe.fingerprint.volumes_ml) == ["liver", "left kidney"]


def test_two_labels_of_one_name_are_refused(tmp_path):
    content = DECATHLON | {"labels": {"0": "background", "1": "kidney", "4": "kidney"}}
    with pytest.raises(InputError, match=r"\[1, 4\] are all named 'kidney'"):
        plan_training(SourceData(images=raw(tmp_path, "", content)), PlanSettings(steps=1))
