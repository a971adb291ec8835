from __future__ import annotations

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from tests.bundles import make_bundle
from unet_med.cli import main


def save(path, mask, spacing=3.0):
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(mask, np.diag([1, 1, spacing, 1])), path)


@pytest.fixture
def folder(tmp_path):
    masks = np.random.default_rng(0).integers(0, 3, (2, 4, 5, 3), dtype=np.uint8)
    for side, mask in zip("pr", masks, strict=True):
        save(tmp_path / side / "a.nii.gz", mask)
    return tmp_path


def run(folder, *more):
    paths = [
        "--predictions",
        folder / "p",
        "--references",
        folder / "r",
        "--output",
        folder / "out",
    ]
    return main(["evaluate", *map(str, paths), *more])


def test_a_doubt_about_a_case_is_said_once(folder, capfd):
    for side in "pr":
        image = nib.load(folder / side / "a.nii.gz")
        image.set_qform(np.diag([9.0, 9, 9, 1]), 1)
        image.set_sform(image.affine, 1)
        nib.save(
            nib.Nifti1Image(np.asanyarray(image.dataobj), None, image.header),
            folder / side / "a.nii.gz",
        )
    assert run(folder) == 0
    err = capfd.readouterr().err
    assert err.count("disagree") == 1
    assert "warning: a: sform and qform disagree" in err


def test_a_good_cohort_prints_a_table_and_writes_the_files(folder, capsys):
    assert run(folder, "--label-names", "1=csf,2=gray matter") == 0
    out, err = capsys.readouterr()
    summary = json.loads((folder / "out" / "summary.json").read_text())
    mean = summary["labels"][1]["volume_dice"]["mean"]
    lines = out.splitlines()
    assert lines[0] == "Volume Dice"
    assert lines[3].split() == ["2", "gray", "matter", "1", *[f"{mean:.4f}"] * 3, "-"]
    assert "Worst slices" in out
    assert "1 scored, 0 missing, 0 failed, 0 extra" in out
    assert err == "[1/1] a\n"
    written = sorted(path.name for path in (folder / "out").iterdir())
    assert written == ["cases.csv", "report.html", "slices.csv", "summary.json"]
    assert run(folder, "--no-report", "--output", str(folder / "bare")) == 0
    assert not (folder / "bare" / "report.html").exists()


def test_pictures_and_scans_for_the_report(folder, capsys):
    scan = np.arange(60, dtype=np.int16).reshape(4, 5, 3)
    save(folder / "i" / "a.nii.gz", scan)
    assert run(folder, "--label-names", "1=a/b $x$", "--images", str(folder / "i"), "--png") == 0
    out = capsys.readouterr().out
    names = {path.name for path in (folder / "out" / "report_png").iterdir()}
    assert names == {"1_a_b_x_worst.png", "1_a_b_x_median.png", "2_worst.png", "2_median.png"}
    assert all(name in out for name in [*names, "report.html"])
    page = (folder / "out" / "report.html").read_text()
    assert "image/webp" in page
    assert run(folder, "--images", str(folder / "nowhere")) == 2
    assert "nowhere does not exist" in capsys.readouterr().err


def test_perfect_slices_are_not_called_the_worst(folder, capsys):
    (folder / "p" / "a.nii.gz").write_bytes((folder / "r" / "a.nii.gz").read_bytes())
    assert run(folder) == 0
    assert "Worst slices" not in capsys.readouterr().out


def test_json_is_the_summary_and_nothing_else(folder, capsys):
    assert run(folder, "--json", "--empty", "one", "--labels", "2") == 0
    out = capsys.readouterr().out
    assert out.isascii()  # so that it is JSON in any terminal and log
    printed = json.loads(out)
    assert printed == json.loads((folder / "out" / "summary.json").read_text())
    assert [one["label"] for one in printed["labels"]] == [2]
    assert printed["settings"] == {
        "slice_axis": "thickest", "empty": "one", "labels": [2], "metrics": "all",
        "tolerance_mm": 1.0, "label_tolerances_mm": {}, "regions": {}, "bootstrap_seed": 0,
    }  # fmt: skip


def test_missing_extra_and_failed_cases_are_named_and_exit_is_1(folder, capsys):
    mask = np.ones((4, 5, 3), np.uint8)
    save(folder / "r" / "gone.nii.gz", mask)
    save(folder / "p" / "gone2.nii.gz", mask)
    save(folder / "r" / "grid.nii.gz", mask)
    save(folder / "p" / "grid.nii.gz", mask, spacing=5.0)
    assert run(folder) == 1
    out = capsys.readouterr().out
    assert "missing: gone has no prediction and scores 0" in out
    assert "extra: gone2 has no reference and is not scored (near: gone)" in out
    assert "failed: grid: the grids of prediction and reference differ" in out
    assert "1 scored, 1 missing, 1 failed, 1 extra" in out


def test_nothing_to_compare_is_one_line_and_exit_2(folder, capsys):
    (folder / "p" / "a.nii.gz").rename(folder / "p" / "b.nii.gz")
    assert run(folder) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("unet-med: error: no prediction has the name of a reference")
    assert err.count("\n") == 1
    assert not (folder / "out").exists()


def test_an_output_that_is_a_file_is_exit_2(folder, capsys):
    (folder / "out").touch()
    assert run(folder) == 2
    assert "cannot make the folder" in capsys.readouterr().err


def test_slice_axes_that_differ_are_told(folder, capsys):
    mask = np.ones((4, 5, 3), np.uint8)
    for side in "pr":
        path = folder / side / "b.nii.gz"
        nib.save(nib.Nifti1Image(mask, np.diag([5.0, 1, 1, 1])), path)
    assert run(folder) == 0
    assert "slice axes differ between cases: axial 1, sagittal 1" in capsys.readouterr().out
    assert run(folder, "--slice-axis", "coronal") == 0
    assert "differ between" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [
        ["--labels", "one"],
        ["--label-names", "csf"],
        ["--label-names", "1=a,1=b"],
        ["--label-names", "1="],
        ["--empty", "none"],
        ["--slice-axis", "z"],
    ],
)
def test_wrong_usage_is_exit_2(folder, wrong, capsys):
    assert run(folder, *wrong) == 2
    assert wrong[0] in capsys.readouterr().err


def test_label_names_come_from_a_bundle_and_the_caller_wins(folder, capsys):
    bundle = make_bundle(folder / "bundle", labels={1: "csf", 2: "gray matter"})
    assert run(folder, "--bundle", str(bundle), "--label-names", "2=cortex", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in summary["labels"]] == ["csf", "cortex"]
    assert run(folder, "--bundle", str(folder / "nowhere")) == 2
    assert "no bundle folder" in capsys.readouterr().err


def test_evaluating_loads_neither_torch_nor_monai(folder):
    code = (
        "import sys, pathlib; from unet_med.evaluation import evaluate_cohort; "
        "a, b = map(pathlib.Path, sys.argv[1:]); assert evaluate_cohort(a, b).exit_code == 0; "
        "assert not {'torch', 'monai', 'ignite'} & sys.modules.keys()"
    )
    command = [sys.executable, "-c", code, str(folder / "p"), str(folder / "r")]
    subprocess.run(command, check=True)


def test_metric_options_reach_the_files(folder, capsys):
    more = ["--region", "whole=1,2", "--tolerance-mm", "2,1=0.5,whole=3", "--jobs", "1"]
    assert run(folder, *more, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert [one["label"] for one in summary["labels"]] == [1, 2, "1+2"]
    assert summary["settings"]["regions"] == {"whole": [1, 2]}
    assert summary["settings"]["tolerance_mm"] == 2
    assert summary["settings"]["label_tolerances_mm"] == {"1": 0.5, "whole": 3}
    rows = (folder / "out" / "cases.csv").read_text().splitlines()
    at = rows[0].split(",").index("tolerance_mm")
    assert [float(row.split(",")[at]) for row in rows[1:]] == [0.5, 2, 3]
    words = summary["command"].split()
    assert words[:2] == ["unet-med", "evaluate"]
    assert main([*words[1:], "--json"]) == 0  # the command in the summary gives the summary
    assert json.loads(capsys.readouterr().out) == summary


def test_counts_alone_print_no_distances(folder, capsys):
    assert run(folder, "--metrics", "counts") == 0
    assert "HD95" not in capsys.readouterr().out
    assert run(folder) == 0
    assert "HD95 median" in capsys.readouterr().out


def test_baseline_prints_the_difference_and_exits_with_the_worse_code(folder, capsys):
    save(folder / "q" / "a.nii.gz", np.zeros((4, 5, 3), np.uint8))
    assert run(folder, "--baseline", str(folder / "q")) == 0
    out = capsys.readouterr().out
    assert "Volume Dice, difference" in out
    assert "only 1 pairs differ" in out
    assert (folder / "out" / "comparison.csv").is_file()
    save(folder / "r" / "b.nii.gz", np.ones((4, 5, 3), np.uint8))
    save(folder / "p" / "b.nii.gz", np.ones((4, 5, 3), np.uint8))
    assert run(folder, "--baseline", str(folder / "q")) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        ["--tolerance-mm", "wide"],
        ["--tolerance-mm", "1,2"],
        ["--region", "1,2"],
        ["--region", "a="],
        ["--jobs", "0"],
        ["--metrics", "some"],
    ],
)
def test_wrong_metric_options_are_exit_2(folder, wrong, capsys):
    assert run(folder, *wrong) == 2
    assert wrong[0] in capsys.readouterr().err


def test_a_region_or_tolerance_that_cannot_be_is_one_line_and_exit_2(folder, capsys):
    assert run(folder, "--region", "a=0,1") == 2
    assert run(folder, "--tolerance-mm", "heart=2") == 2
    assert capsys.readouterr().err.count("unet-med: error:") == 2


def test_labels_outside_the_table_are_named(folder, capsys):
    mask = np.asarray(nib.load(folder / "r" / "a.nii.gz").dataobj).copy()
    mask[mask == 2] = 9
    save(folder / "p" / "a.nii.gz", mask)
    assert run(folder, "--no-report") == 0  # a label like any other, but told
    line = "foreign: the prediction of a holds label 9, which no reference holds"
    assert line in capsys.readouterr().out
    assert run(folder, "--label-names", "1=a,2=b") == 1
    assert line in capsys.readouterr().out
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert "a: label 9" in page
    summary = json.loads((folder / "out" / "summary.json").read_text())
    assert summary["cases"]["unexpected_labels"] == [{"case": "a", "values": [9]}]
    assert run(folder, "--labels", "1,2", "--no-report") == 0  # chosen
    assert run(folder, "--label-names", "1=a,2=b,9=c", "--no-report") == 0


BAD = {
    "shape": ("shape (4, 5, 2) vs (4, 5, 3)", np.ones((4, 5, 2), np.uint8), 3.0),
    "spacing": ("spacing (mm) (1, 1, 5) vs (1, 1, 3)", np.ones((4, 5, 3), np.uint8), 5.0),
    "fractions": ("holds 0.4, which is no label", np.full((4, 5, 3), 0.4, np.float32), 3.0),
    "nan": ("holds nan, which is no label", np.full((4, 5, 3), np.nan, np.float32), 3.0),
    "4d": ("has 2 channels or frames", np.ones((4, 5, 3, 2), np.uint8), 3.0),
    "foreign": ("they share none", np.full((4, 5, 3), 255, np.uint8), 3.0),
}


def test_each_bad_mask_is_one_line_and_the_others_are_scored(folder, capsys):
    for name, (_, mask, spacing) in BAD.items():
        save(folder / "r" / f"{name}.nii.gz", np.ones((4, 5, 3), np.uint8))
        save(folder / "p" / f"{name}.nii.gz", mask, spacing=spacing)
    origin = nib.Nifti1Image(np.ones((4, 5, 3), np.uint8), np.diag([1, 1, 3, 1.0]))
    nib.save(origin, folder / "r" / "origin.nii.gz")
    moved = np.diag([1, 1, 3, 1.0])
    moved[0, 3] = 2
    nib.save(nib.Nifti1Image(np.ones((4, 5, 3), np.uint8), moved), folder / "p" / "origin.nii.gz")
    expected = {name: words for name, (words, _, _) in BAD.items()}
    expected["origin"] = "origin (mm) (2, 0, 0) vs (0, 0, 0)"
    assert run(folder, "--no-report") == 1
    lines = capsys.readouterr().out.splitlines()
    for name, words in expected.items():
        (line,) = [line for line in lines if line.startswith(f"failed: {name}: ")]
        assert words in line
    assert "1 scored, 0 missing, 7 failed, 0 extra" in lines


def test_an_empty_folder_is_one_line_and_exit_2(folder, capsys):
    (folder / "p" / "a.nii.gz").unlink()
    assert run(folder) == 2
    err = capsys.readouterr().err
    assert "holds no mask" in err
    assert err.count("\n") == 1
