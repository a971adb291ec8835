"""CSV and JSON lists of cases, which may have been written by anybody."""

from __future__ import annotations

import pytest

from tests.cases.datasets import write_cases
from unet_med.cases import find_training_cases
from unet_med.errors import InputError


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
    assert found.info.channels == ("t1", "flair")
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
        ("image,label,id\nimages/case0.nii.gz,labels/case0.nii.gz,../../x\n", "is no name for"),
        ("image,label,id\nimages/case0.nii.gz,labels/case0.nii.gz,/etc/x\n", "is no name for"),
        ("image,label\n" + "images/case0.nii.gz,labels/case0.nii.gz\n" * 2, "are the same case"),
        ('image,label\n"a', "no valid CSV"),
        ("", "needs the columns"),
        (
            "image,Image,label\nimages/case0.nii.gz,labels/case0.nii.gz,labels/case0.nii.gz\n",
            "has the column image twice",
        ),
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
