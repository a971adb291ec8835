"""Folders of DICOM files as cases, and the whole way from them to masks without a name in them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import unet_med
from tests.batch_helpers import files, make_segmenter, run_cases, statuses, write_bundle, write_scan
from tests.volumes.dicom_builders import IDENTIFIER, NAME, edit, noise, orthonormal, write_series
from unet_med.cases import find_cases
from unet_med.cli import main
from unet_med.errors import InputError
from unet_med.volumes import ReadOptions, SeriesSelection, verify_mask


def keys(*inputs, **options):
    found = find_cases(inputs, n_channels=1, output=None, **options)
    return {case.key: [path.name for path in case.paths] for case in found.cases}


def test_each_folder_with_dicom_files_is_a_case(tmp_path, monkeypatch):
    write_series(tmp_path / "in/ward 3/first", noise(), orthonormal())
    write_series(tmp_path / "in/second", noise(), orthonormal())
    write_scan(tmp_path / "in/ward 3/scan.nii.gz")
    (tmp_path / "in/ward 3/first/notes.txt").write_text("x")
    expected = {
        "second": ["second"], "ward 3/first": ["first"], "ward 3/scan": ["scan.nii.gz"],
    }  # fmt: skip
    assert keys(tmp_path / "in") == expected
    assert keys(tmp_path / "in/second") == {"second": ["second"]}
    assert keys(f"{tmp_path}/in/*") == expected
    monkeypatch.chdir(tmp_path / "in/second")
    assert keys(".") == {"second": ["second"]}


def test_slices_named_one_by_one_are_no_cases(tmp_path):
    paths = write_series(tmp_path / "exam", noise(), orthonormal())
    with pytest.raises(
        InputError, match=r"5 DICOM files of .* are named one by one; name the fold"
    ):
        keys(*paths)
    assert keys(paths[0]) == {paths[0].name: [paths[0].name]}


def test_from_dicom_to_the_mask_that_nifti_gives(tmp_path):
    """The same voxels at the same place; nothing that names the patient in anything written."""
    voxels, affine = noise((8, 7, 6)), orthonormal()
    write_series(tmp_path / "in/exam", voxels, affine, Modality="MR")
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "in/exam2.nii.gz")
    report = run_cases(tmp_path)
    assert statuses(report) == {"exam": "done", "exam2": "done"}
    mask, other = (nib.load(outcome.mask) for outcome in report.outcomes)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), np.asarray(other.dataobj))
    np.testing.assert_allclose(mask.affine, other.affine, atol=1e-5)
    assert verify_mask(tmp_path / "in/exam", report.outcomes[0].mask) == []
    for path in (tmp_path / "out").rglob("*"):
        content = path.read_bytes() if path.suffix != ".gz" else nib.load(path).to_bytes()
        for word in (NAME, "JANE", IDENTIFIER, "19700101", "1.2.826"):
            assert word.encode() not in content, (path, word)
    assert statuses(run_cases(tmp_path)) == {"exam": "skipped", "exam2": "skipped"}
    edit(next((tmp_path / "in/exam").iterdir()), RescaleIntercept=5)
    assert statuses(run_cases(tmp_path)) == {"exam": "done", "exam2": "skipped"}


def test_an_examination_that_is_not_clear_fails_alone(tmp_path):
    write_series(tmp_path / "in/good", noise(), orthonormal(), Modality="MR")
    for n in (1, 2):
        write_series(tmp_path / f"s{n}", noise(seed=n), orthonormal(), uid=f"1.2.{n}",
                     SeriesNumber=n, Modality="MR")  # fmt: skip
        (tmp_path / "in/two").mkdir(exist_ok=True)
        for path in (tmp_path / f"s{n}").iterdir():
            shutil.move(path, tmp_path / f"in/two/{n}{path.name}")
    report = run_cases(tmp_path)
    assert statuses(report) == {"good": "done", "two": "failed"}
    error = report.outcomes[1].error
    assert "series 1 (MR, 5 images of 6 × 7" in error
    assert NAME not in error
    assert files(tmp_path / "out") == ["good.json", "good.nii.gz", "ledger.jsonl"]


def test_the_demo_head_as_dicom(tmp_path):
    """A real head through the shipped bundle: as NIfTI and as a series, the same mask."""
    scan = nib.load(Path(unet_med.__file__).parents[1] / "sample_data/demo/images/colin27.nii.gz")
    voxels = np.asarray(scan.dataobj)[:, :, 60:72].astype(np.int16)
    affine = scan.affine.copy()
    affine[:3, 3] += 60 * affine[:3, 2]
    write_series(tmp_path / "exam", voxels, affine, Modality="MR")
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "scan.nii.gz")
    segmenter = unet_med.load(threads=1)
    one, two = (segmenter.segment(tmp_path / name) for name in ("exam", "scan.nii.gz"))
    np.testing.assert_array_equal(one.labels, two.labels)
    assert len(np.unique(one.labels)) > 2


def test_a_series_of_another_modality_is_refused_through_every_interface(tmp_path):
    write_series(tmp_path / "in/exam", noise((8, 7, 6)), orthonormal(), Modality="CT")
    bundle = write_bundle(tmp_path / "bundle")  # whose channel is MR
    with pytest.raises(InputError, match="no series for modality MR"):
        make_segmenter(bundle).segment(tmp_path / "in/exam")
    report = run_cases(tmp_path)
    assert statuses(report) == {"exam": "failed"}
    assert "no series for modality MR" in report.outcomes[0].error


def test_identifiers_are_kept_only_when_asked(tmp_path, capsys):
    write_series(tmp_path / "in/exam", noise((8, 7, 6)), orthonormal(), Modality="MR")
    bundle = write_bundle(tmp_path / "bundle")
    rules = ReadOptions(series=SeriesSelection(keep_identifiers=True))
    segmenter = replace(make_segmenter(bundle), rules=rules)
    facts = segmenter.segment_to(tmp_path / "in/exam", tmp_path / "mask.nii.gz")
    assert facts.volume.identifiers["PatientName"] == NAME
    assert NAME.encode() not in nib.load(tmp_path / "mask.nii.gz").to_bytes()
    assert make_segmenter(bundle).segment(tmp_path / "in/exam").volume.identifiers == {}
    assert main(["info", str(tmp_path / "in/exam")]) == 0
    said = capsys.readouterr().out
    assert "series 4 (MR, 6 images of 7 × 8" in said
    assert "orientation: " in said
    assert NAME not in said
