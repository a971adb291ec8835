from __future__ import annotations

import hashlib
import json

import nibabel as nib
import numpy as np
import pytest

import unet_med
from tests.browser import find_chromium, open_browser
from tests.reporting.cohorts import SHAPE, box, oblique, save
from unet_med.cli import main

NAMES = {1: "liver", 2: "spleen"}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def quality(mask):
    """Return what the sidecar says of quality: slices 3 and 7 are doubtful."""
    areas = {label: (mask == label).sum(axis=(0, 1)) * 3.0 for label in NAMES}
    score = [0.4 if n in (3, 7) else 0.9 for n in range(mask.shape[2])]
    scores = {
        label: [one if area else None for one, area in zip(score, areas[label], strict=True)]
        for label in NAMES
    }
    review = [
        {"slice": n, "position_mm": 0.0, "label": 1, "label_name": "liver", "score": 0.4,
         "reasons": ["expected Dice 0.40, below 0.80", "area jumps"]}
        for n in (7, 3)
    ]  # fmt: skip
    return {
        "nonfinite_voxels": 0,
        "warnings": ["liver has 3 ml; the training cases had 900 to 2000 ml"],
        "temperature": 1.0,
        "slice_axis": 2,
        "review_below": 0.8,
        "labels": [
            {"label": label, "label_name": name, "score": 0.4, "entropy": 0.1, "components": 1,
             "largest_component": 1.0, "touches_border": [], "slices_flagged": 2}
            for label, name in NAMES.items()
        ],
        "slices": {
            "position_mm": [0.0] * mask.shape[2],
            "labels": {
                str(label): {
                    "score": scores[label], "expected_dice": scores[label],
                    "entropy": [None if not a else 0.1 for a in areas[label]],
                    "neighbor_dice": scores[label], "area_mm2": areas[label].tolist(),
                }
                for label in NAMES
            },
        },
        "review": review,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """An output folder with two masks, one without quality, a map, and a failed case."""
    mask = np.maximum(box(SHAPE, (4, 4, 2), (18, 15, 10)), box(SHAPE, (8, 8, 4), (12, 12, 8), 2))
    scan = np.arange(mask.size, dtype=np.int16).reshape(SHAPE) % 500
    for name in ("a", "sub/b"):
        path = save(tmp_path / "out" / f"{name}.nii.gz", mask, oblique())
        source = save(tmp_path / "scans" / f"{name}.nii.gz", scan, oblique())
        sidecar = {
            "schema_version": 2,
            "program": {"name": "unet_med", "version": "0.1.0"},
            "mask": {"file": path.name, "sha256": digest(path)},
            "inputs": [{"path": str(source), "sha256": digest(source)}],
            "channel": None,
            "bundle": {"name": "abdomen", "version": "1"},
            "execution": {"backend": "torch", "precision": "fp32"},
            "command_line": "unet-med segment scans --output out",
            "label_names": {str(label): text for label, text in NAMES.items()},
            "volumes_ml": {"liver": 17.0, "spleen": 1.0},
            "quality": quality(mask) if name == "a" else {"nonfinite_voxels": 0, "warnings": []},
        }
        path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(sidecar))
    save(tmp_path / "out" / "a.entropy.nii.gz", np.zeros(SHAPE, np.float32), oblique())
    lines = [
        {"case": "a", "output": "a.nii.gz", "status": "done"},
        {"case": "c", "output": "c.nii.gz", "status": "failed", "error": "c.nii is no <scan>"},
        {"case": "d", "output": "d.nii.gz", "status": "failed", "error": "the disk was full"},
        {"case": "d", "output": "d.nii.gz", "status": "done"},
    ]
    text = "".join(
        json.dumps(line | {"time": "2026-01-01T00:00:00+00:00"}) + "\n" for line in lines
    )
    (tmp_path / "out" / "ledger.jsonl").write_text(text)
    return tmp_path / "out"


def content_of(page, name):
    text = page.read_text(encoding="utf-8")
    start = text.index(f'<script type="application/json" id="{name}">')
    begin = text.index(">", start) + 1
    return json.loads(text[begin : text.index("</script>", begin)])


def test_the_page_tells_volumes_quality_and_what_failed(folder):
    written = unet_med.report(folder)
    assert written.failed == {}
    assert written.files == (folder / "report.html",)
    report = content_of(folder / "report.html", "report")
    assert [(one["id"], one["status"]) for one in report["cases"]] == [
        ("a", "done"), ("sub/b", "done"), ("c", "failed"),
    ]  # fmt: skip
    titles = [one["title"] for one in report["problems"]]
    assert titles == ["Not segmented: 1", "Warnings: 1"]
    assert report["problems"][0]["items"] == ["c: c.nii is no <scan>"]
    assert [label["name"] for label in report["labels"]] == ["liver", "spleen"]
    values = report["rows"][0]["values"]
    assert values["score"] == 0.4
    assert values["volume_ml"] == 17
    assert ["bundle", "abdomen 1"] in report["provenance"]


def test_a_case_shows_its_curves_and_where_to_look(folder):
    unet_med.report(folder)
    case = content_of(folder / "report.html", "case-0")
    assert [one["slice"] for one in case["worst"]] == [7, 3]
    assert case["worst"][0]["text"] == "liver: expected Dice 0.40, below 0.80; area jumps"
    titles = [curve["title"] for curve in case["curves"]]
    assert titles[0].startswith("quality score")
    assert titles[-1] == "area in mm²"
    assert (
        case["curves"][0]["series"][0]["y"]
        == [None] * 2 + [0.9, 0.4] + [0.9] * 3 + [0.4, 0.9, 0.9] + [None] * 2
    )
    assert list(case["masks"]) == ["prediction"]
    assert case["image"]["shape"] == [12, 20, 24]
    other = content_of(folder / "report.html", "case-1")
    assert other["curves"] == []
    assert any("no quality per slice" in note for note in other["notes"])


def test_scans_that_are_gone_or_changed_are_not_shown(folder):
    scan = folder.parent / "scans" / "a.nii.gz"
    scan.write_bytes(scan.read_bytes() + b"\0")
    (folder.parent / "scans" / "sub" / "b.nii.gz").unlink()
    unet_med.report(folder)
    notes = [content_of(folder / "report.html", f"case-{n}")["notes"] for n in range(2)]
    assert any("its digest differs" in note for note in notes[0])
    assert any("is not there any more" in note for note in notes[1])
    more = folder.parent / "elsewhere"
    image = nib.load(folder / "a.nii.gz")
    save(more / "a.nii.gz", np.asarray(image.dataobj).astype(np.int16), image.affine)
    unet_med.report(folder, images=more)
    assert content_of(folder / "report.html", "case-0")["image"] is not None
    notes = content_of(folder / "report.html", "case-1")["notes"]
    assert any("holds no scan of this name" in note for note in notes)


def test_a_mask_that_somebody_corrected_is_named(folder):
    image = nib.load(folder / "a.nii.gz")
    labels = np.asarray(image.dataobj).copy()
    labels[0, 0, 0] = 2
    nib.save(nib.Nifti1Image(labels, image.affine), folder / "a.nii.gz")
    unet_med.report(folder)
    notes = content_of(folder / "report.html", "case-0")["notes"]
    assert any("was changed after it was written" in note for note in notes)


def test_a_mask_that_cannot_be_read_fails_alone(folder, capsys):
    (folder / "a.nii.gz").write_bytes(b"no volume")
    assert main(["report", str(folder), "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert list(printed["failed"]) == ["a"]
    report = content_of(folder / "report.html", "report")
    assert [one["href"] for one in report["cases"]] == [None, "", None]


def test_the_command_writes_elsewhere_and_draws(folder, tmp_path, capsys):
    assert main(["report", str(folder), "--output", str(tmp_path / "pages"), "--png"]) == 0
    names = {path.name for path in (tmp_path / "pages" / "report_png").iterdir()}
    assert names == {"1_liver_review.png", "2_spleen_review.png"}
    assert not (folder / "report.html").exists()
    assert "report.html" in capsys.readouterr().out


def test_a_folder_without_masks_is_one_line_and_exit_2(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "holds no masks of unet-med segment" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert "is no folder" in capsys.readouterr().err


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine")
def test_the_page_opens_at_the_first_slice_to_look_at(folder):
    unet_med.report(folder)
    with open_browser() as browser:
        browser.open(folder / "report.html", "#case=0")
        state = browser.state()
        assert (state["slice"], state["reference"]) == (7, None)
        text = browser.run("document.getElementById('case').textContent")
        assert "Look at these slices first" in text
        assert (
            browser.run("document.querySelector('[data-slice-value=\"1\"]').textContent") == "0.400"
        )
        browser.open(folder / "report.html", "#case=1")
        assert browser.state()["case"] == 1  # no quality, no curve, but a viewer
        browser.open(folder / "report.html")
        assert browser.run("document.querySelector('.cases tbody tr').dataset.case") == "a"
        assert browser.complaints == []
