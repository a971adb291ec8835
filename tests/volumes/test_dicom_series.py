"""Which series of a DICOM folder is the scan."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from tests.volumes.dicom_builders import (
    edit,
    noise,
    orthonormal,
    read_all,
    refused,
    tilted,
    write_series,
)
from unet_med.errors import InputError
from unet_med.volumes import SeriesSelection, open_volume


def test_a_localizer_inside_the_series_is_left_out(tmp_path):
    voxels = noise()
    write_series(tmp_path / "exam", voxels, orthonormal())
    (scout,) = write_series(tmp_path / "scout", noise((9, 9, 1)), tilted())
    edit(scout, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SOPInstanceUID="1.2.826.99")
    scout.rename(tmp_path / "exam/scout")
    np.testing.assert_array_equal(read_all(open_volume(tmp_path / "exam"))[0], voxels)
    edit(tmp_path / "exam/scout", ImageType=["ORIGINAL", "PRIMARY", "AXIAL"], Rows=9)
    assert "mixes images" in refused(lambda: open_volume(tmp_path / "exam"))


def three_series(folder):
    """Write a CT, an MR made by the scanner, an MR derived from it and a report."""
    write_series(folder / "a", noise(seed=1), orthonormal(), uid="1.2.826.1")
    mr = {"Modality": "MR", "uid": "1.2.826.2", "SeriesNumber": 7, "SeriesDescription": "t1_mprage"}
    write_series(folder / "b", noise(seed=2), orthonormal(), **mr)
    derived = {**mr, "uid": "1.2.826.3", "SeriesNumber": 8, "SeriesDescription": "ADC map"}
    write_series(
        folder / "c", noise(seed=3), orthonormal(), **derived,
        ImageType=["DERIVED", "SECONDARY", "ADC"],
    )  # fmt: skip
    exam = folder / "exam"
    exam.mkdir()
    for part in "abc":
        for path in (folder / part).iterdir():
            path.rename(exam / f"{part}{path.name}")
    shutil.copy(get_testdata_file("reportsi.dcm"), exam / "report.dcm")
    return exam


@pytest.mark.parametrize(
    ("rule", "seed"),
    [
        (SeriesSelection(modality="CT"), 1),
        (SeriesSelection(modality="MR"), 2),
        (SeriesSelection("4"), 1),
        (SeriesSelection("8"), 3),
        (SeriesSelection("1.2.826.2", modality="CT"), 2),
        (SeriesSelection("T1*"), 2),
        (SeriesSelection("*adc*"), 3),
    ],
)
def test_the_series_is_chosen_by_rule_or_by_name(tmp_path, rule, seed):
    volume = open_volume(three_series(tmp_path), series=rule)
    np.testing.assert_array_equal(read_all(volume)[0], noise(seed=seed))


def test_what_is_not_clear_is_refused_with_a_list(tmp_path):
    exam = three_series(tmp_path)
    text = refused(lambda: open_volume(exam), InputError)
    assert "several series that could be meant: series 4 (CT, 5 images of 6 × 7" in text
    assert "series 7 (MR" in text
    assert text.endswith("choose with --series N")
    text = refused(lambda: open_volume(exam, series=SeriesSelection("99")), InputError)
    assert "no series for --series 99: series 4 (CT" in text
    text = refused(lambda: open_volume(exam, series=SeriesSelection(modality="PT")), InputError)
    assert "no series for modality PT" in text
