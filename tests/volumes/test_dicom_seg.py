"""DICOM segmentations, read back by pydicom alone; checked by dciodvfy where it is there."""

from __future__ import annotations

import shutil
import subprocess

import nibabel as nib
import numpy as np
import pydicom
import pytest

from tests.batch_helpers import files, make_segmenter, run_cases, statuses
from tests.volumes.dicom_builders import (
    IDENTIFIER,
    NAME,
    edit,
    enhanced,
    noise,
    orthonormal,
    tilted,
    write_series,
)
from unet_med.errors import OutputError
from unet_med.volumes import MaskMetadata, MaskProvenance, open_volume, write_labels

NAMES = {1: "liver", 7: "tumor", 9: "nowhere"}
PROVENANCE = MaskProvenance("0.1", "bundle", "ab" * 32, "torch", "fp32", ("cd" * 32,))
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


def make_labels(shape, seed=0):
    labels = np.random.default_rng(seed).choice([0, 0, 1, 7], shape).astype(np.uint8)
    labels[:, :, 1] = 0  # an empty slice
    return labels


def write(path, labels, like, **metadata):
    write_labels(
        [labels[..., :2], labels[..., 2:]], path, like=like, dtype=np.dtype(np.uint8),
        metadata=MaskMetadata(NAMES, PROVENANCE, **metadata),
    )  # fmt: skip


def points_of(path):
    """Return the world positions (RAS+ mm) of the voxels of each segment, by the standard."""
    dataset = pydicom.dcmread(path)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    across, down = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3))
    row_mm, column_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    points = {segment.SegmentLabel: [] for segment in dataset.SegmentSequence}
    labels = [segment.SegmentLabel for segment in dataset.SegmentSequence]
    frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    for group, frame in zip(dataset.PerFrameFunctionalGroupsSequence, frames, strict=True):
        origin = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        rows, columns = np.nonzero(frame)
        lps = origin + np.outer(columns * column_mm, across) + np.outer(rows * row_mm, down)
        label = labels[group.SegmentIdentificationSequence[0].ReferencedSegmentNumber - 1]
        points[label].append(lps @ RAS_TO_LPS)
    return {label: np.concatenate(found or [np.empty((0, 3))]) for label, found in points.items()}


def sorted_points(points):
    return np.array(sorted(map(tuple, np.round(points, 3) + 0.0)))


SERIES = {
    "oblique": orthonormal(),
    "flipped": orthonormal(flip=(0, 2)),
    "anisotropic": orthonormal((0.5, 2.0, 7.0)),
    "tilted": tilted(),
}


@pytest.mark.parametrize("name", SERIES)
def test_every_voxel_is_where_the_nifti_mask_has_it(tmp_path, name):
    write_series(tmp_path / "exam", noise((8, 6, 5)), SERIES[name])
    like, labels = open_volume(tmp_path / "exam"), make_labels((8, 6, 5))
    write(tmp_path / "mask.dcm", labels, like)
    write_labels(
        [labels], tmp_path / "mask.nii", like=like, dtype=np.dtype(np.uint8),
        metadata=MaskMetadata(NAMES),
    )  # fmt: skip
    mask = nib.load(tmp_path / "mask.nii")
    found = points_of(tmp_path / "mask.dcm")
    assert set(found) == {"liver", "tumor", "nowhere"}
    for value, label in NAMES.items():
        indices = np.argwhere(np.asarray(mask.dataobj) == value)
        expected = nib.affines.apply_affine(mask.affine, indices)
        assert len(found[label]) == len(expected)
        if len(expected):
            np.testing.assert_allclose(
                sorted_points(found[label]), sorted_points(expected), atol=2e-3
            )
            np.testing.assert_allclose(found[label].mean(0), expected.mean(0), atol=1e-4)


def test_it_refers_to_its_series_and_names_its_labels(tmp_path):
    paths = write_series(tmp_path / "exam", noise((8, 6, 5)), orthonormal())
    like, labels = open_volume(tmp_path / "exam"), make_labels((8, 6, 5))
    codes = {1: ("10200004", "SCT", "Liver")}
    write(tmp_path / "mask.dcm", labels, like, terminology=codes)
    mask, source = pydicom.dcmread(tmp_path / "mask.dcm"), pydicom.dcmread(paths[0])
    for attribute in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientName", "PatientID"):
        assert mask[attribute].value == source[attribute].value
    assert mask.SeriesInstanceUID != source.SeriesInstanceUID
    (referenced,) = mask.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == source.SeriesInstanceUID
    instances = {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence}
    assert instances == {pydicom.dcmread(path).SOPInstanceUID for path in paths}
    types = [s.SegmentedPropertyTypeCodeSequence[0] for s in mask.SegmentSequence]
    assert [(t.CodeValue, t.CodingSchemeDesignator, t.CodeMeaning) for t in types] == [
        ("10200004", "SCT", "Liver"), ("7", "99UNETMED", "tumor"), ("9", "99UNETMED", "nowhere"),
    ]  # fmt: skip
    for group in mask.PerFrameFunctionalGroupsSequence:
        (image,) = group.DerivationImageSequence[0].SourceImageSequence
        origin = next(p for p in map(pydicom.dcmread, paths)
                      if p.SOPInstanceUID == image.ReferencedSOPInstanceUID)  # fmt: skip
        assert origin.ImagePositionPatient == group.PlanePositionSequence[0].ImagePositionPatient


def test_equal_labels_have_equal_names_in_the_archive(tmp_path):
    write_series(tmp_path / "exam", noise((8, 6, 5)), orthonormal())
    like = open_volume(tmp_path / "exam")
    uids = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write(tmp_path / f"{name}.dcm", make_labels((8, 6, 5), seed), like)
        uids.append(pydicom.dcmread(tmp_path / f"{name}.dcm").SOPInstanceUID)
    assert uids[0] == uids[1] != uids[2]


def test_an_enhanced_source_and_an_empty_mask(tmp_path):
    path = enhanced(tmp_path / "scan", noise((8, 6, 5)), orthonormal(), order=[3, 0, 4, 1, 2])
    like, labels = open_volume(path), make_labels((8, 6, 5))
    write(tmp_path / "mask.dcm", labels, like)
    points = points_of(tmp_path / "mask.dcm")["liver"]
    expected = like.geometry.world(np.argwhere(labels == 1))
    np.testing.assert_allclose(sorted_points(points), sorted_points(expected), atol=2e-3)
    write_series(tmp_path / "exam", noise((8, 6, 5)), orthonormal())
    write(tmp_path / "empty.dcm", np.zeros_like(labels), open_volume(tmp_path / "exam"))
    assert all(len(found) == 0 for found in points_of(tmp_path / "empty.dcm").values())


def test_what_is_no_series_cannot_be_referred_to(tmp_path):
    nib.save(nib.Nifti1Image(noise(), orthonormal()), tmp_path / "scan.nii")
    like = open_volume(tmp_path / "scan.nii")
    with pytest.raises(OutputError, match="is no DICOM series"):
        write(tmp_path / "mask.dcm", make_labels((7, 6, 5)), like)
    for path in write_series(tmp_path / "exam", noise(), orthonormal()):
        edit(path, FrameOfReferenceUID=None)
    with pytest.raises(OutputError, match="lacks something") as caught:
        write(tmp_path / "mask.dcm", make_labels((7, 6, 5)), open_volume(tmp_path / "exam"))
    assert NAME not in str(caught.value)
    assert files(tmp_path / "exam") == sorted(p.name for p in (tmp_path / "exam").iterdir())
    assert not (tmp_path / "mask.dcm").exists()


def test_a_batch_writes_segmentations_and_keeps_names_out_of_the_rest(tmp_path):
    write_series(tmp_path / "in/ward/exam", noise((8, 7, 6)), orthonormal(), Modality="MR")
    for format_ in ("dicom-seg", "input"):
        report = run_cases(tmp_path, output=format_, mask_format=format_)
        assert statuses(report) == {"ward/exam": "done"}
        assert files(tmp_path / format_) == ["ledger.jsonl", "ward/exam.dcm", "ward/exam.json"]
        for name in ("ledger.jsonl", "ward/exam.json"):
            text = (tmp_path / format_ / name).read_text()
            assert NAME not in text
            assert IDENTIFIER not in text
            assert "1.2.826" not in text
    labels = make_segmenter(tmp_path / "bundle").segment(tmp_path / "in/ward/exam").labels
    points = points_of(tmp_path / "input/ward/exam.dcm")
    assert len(points["bright"]) == np.count_nonzero(labels == 1)
    assert len(points["brighter"]) == np.count_nonzero(labels == 2)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dicom3tools")
@pytest.mark.parametrize("name", SERIES)
def test_dciodvfy_finds_no_error(tmp_path, name):
    write_series(tmp_path / "exam", noise((8, 6, 5)), SERIES[name])
    write(tmp_path / "mask.dcm", make_labels((8, 6, 5)), open_volume(tmp_path / "exam"))
    done = subprocess.run(
        ["dciodvfy", str(tmp_path / "mask.dcm")], capture_output=True, text=True, check=False
    )
    said = done.stderr + done.stdout
    assert "Segmentation" in said
    assert [line for line in said.splitlines() if line.startswith("Error")] == []
