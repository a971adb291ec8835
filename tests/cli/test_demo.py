from __future__ import annotations

import json

import matplotlib.image
import pytest

from tests.bundles import make_bundle
from unet_med.cli import main

LABELS = {1: "csf", 2: "gray matter", 3: "white matter"}


def demo(tmp_path, *more):
    bundle = str(tmp_path / "bundle")
    return main(["demo", "--bundle", bundle, "--threads", "1", "--device", "cpu", *more])


def test_the_demo_segments_scores_and_draws(tmp_path, monkeypatch, capsys):
    make_bundle(tmp_path / "bundle", sizes=(2, 4), labels=LABELS)
    monkeypatch.chdir(tmp_path)
    assert demo(tmp_path) == 0
    out = capsys.readouterr().out
    for text in ("Volume Dice", "gray matter", "Worst slices", "Seconds for ", "statistics "):
        assert text in out
    folder = tmp_path / "unet-med-demo"
    (mask,) = (folder / "masks").glob("*.nii.gz")
    names = {path.name for path in (folder / "scores").iterdir()}
    assert {"slices.csv", "cases.csv", "summary.json", "report.html"} <= names
    assert out.splitlines()[-1] == "Report, for a browser: unet-med-demo/scores/report.html"
    page = (folder / "scores" / "report.html").read_text()
    assert '"atlases":["' in page  # the scan is in it
    pictures = {path.name for path in folder.glob("*.png")}
    case = mask.name.removesuffix(".nii.gz")
    assert pictures == {f"{case}_worst.png", f"{case}_median.png"}
    for name in pictures:
        assert name in out
        assert matplotlib.image.imread(folder / name).std() > 0.1


@pytest.mark.slow
def test_the_demo_runs_again_and_as_json(tmp_path, capsys):
    make_bundle(tmp_path / "bundle", sizes=(2, 4), labels=LABELS)
    for _ in range(2):
        assert demo(tmp_path, "--output", str(tmp_path / "d"), "--json") == 0
        content = json.loads(capsys.readouterr().out)
        assert content["segmentation"]["done"] == 1
        names = [one["name"] for one in content["scores"]["labels"]]
        assert names[:3] == list(LABELS.values())
        assert len(content["pictures"]) == 2


def test_a_demo_that_fails_says_so_as_json_too(tmp_path, monkeypatch, capsys):
    make_bundle(tmp_path / "bundle", sizes=(2, 4), labels=LABELS)
    monkeypatch.setattr("unet_med.segmenter.segmenter.volume_statistics", None)
    assert demo(tmp_path, "--output", str(tmp_path / "d"), "--json") == 1
    assert json.loads(capsys.readouterr().out)["failed"] == 1
