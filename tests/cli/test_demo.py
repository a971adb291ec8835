from __future__ import annotations

import json

import matplotlib.image
import pytest

from tests.bundles import make_bundle
from unet_med.cli import main

LABELS = {1: "csf", 2: "grey matter", 3: "white matter"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return str(make_bundle(tmp_path_factory.mktemp("bundle"), sizes=(2, 4), labels=LABELS))


def test_the_demo_segments_scores_and_draws(tmp_path, monkeypatch, capsys, bundle):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--bundle", bundle, "--threads", "1", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    for text in ("Volume Dice", "grey matter", "Worst slices", "Seconds for ", "slices "):
        assert text in out
    folder = tmp_path / "unet-med-demo"
    (mask,) = (folder / "masks").glob("*.nii.gz")
    assert {path.name for path in (folder / "scores").iterdir()} == {
        "slices.csv", "cases.csv", "summary.json"
    }  # fmt: skip
    names = {path.name for path in folder.glob("*.png")}
    case = mask.name.removesuffix(".nii.gz")
    assert names == {f"{case}_worst.png", f"{case}_median.png"}
    for name in names:
        assert str(name) in out
        assert matplotlib.image.imread(folder / name).std() > 0.1


def test_the_demo_as_json_and_again(tmp_path, capsys, bundle):
    arguments = ["demo", "--bundle", bundle, "--threads", "1", "--output", str(tmp_path / "d")]
    for _ in range(2):
        assert main([*arguments, "--json"]) == 0
        content = json.loads(capsys.readouterr().out)
        assert content["segmentation"]["done"] == 1
        assert [one["name"] for one in content["scores"]["labels"]] == list(LABELS.values())
        assert len(content["pictures"]) == 2
