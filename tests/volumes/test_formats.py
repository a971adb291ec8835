"""One scan in every format, converted by nibabel, SimpleITK and pydicom: one answer."""

from __future__ import annotations

import gzip
import shutil

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the package's own habit

from tests.batch_helpers import files, make_segmenter, run_cases, statuses
from tests.volumes.dicom_builders import noise, orthonormal, tilted, write_series
from unet_med.errors import GeometryError, OutputError, UnetMedError
from unet_med.volumes import MaskMetadata, from_sitk, open_volume, verify_mask, write_labels
from unet_med.volumes.input_files import volume_files

SHAPE = (8, 7, 6)
VOXELS = noise(SHAPE)
AFFINE = orthonormal()
NAMES = {1: "one", 7: "seven"}


def by_itk(path, voxels=VOXELS, affine=AFFINE, *, compress=False):
    """Write with SimpleITK, the grid worked out by hand: LPS+, axes (k, j, i)."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.moveaxis(voxels, (0, 1, 2), (2, 1, 0))))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    lps = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing(spacing.tolist())
    image.SetOrigin((lps @ affine[:3, 3]).tolist())
    image.SetDirection((lps @ affine[:3, :3] / spacing).ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=compress)
    return path


def by_nibabel(path, image_class=nib.Nifti1Image):
    nib.save(image_class(VOXELS, AFFINE), path)
    return path


def by_pydicom(path):
    write_series(path, VOXELS, AFFINE, Modality="MR")
    return path


SCANS = {
    "a.nii": by_nibabel,
    "a.nii.gz": by_nibabel,
    "two.nii.gz": lambda path: by_nibabel(path, nib.Nifti2Image),
    "pair.img": lambda path: by_nibabel(path, nib.Nifti1Pair),
    "a.nrrd": by_itk,
    "packed.nrrd": lambda path: by_itk(path, compress=True),
    "a.nhdr": by_itk,
    "a.mha": by_itk,
    "packed.mha": lambda path: by_itk(path, compress=True),
    "a.mhd": by_itk,
    "a.mgz": lambda path: by_nibabel(path, nib.MGHImage),
    "a.mgh": lambda path: by_nibabel(path, nib.MGHImage),
    "exam": by_pydicom,
}


@pytest.mark.parametrize("name", SCANS)
def test_the_mask_is_the_same(tmp_path, name):
    """Labels equal, and its place that of the mask of the NIfTI scan; every mask is NIfTI."""
    segmenter = make_segmenter(tmp_path / "bundle")
    scan = SCANS[name](tmp_path / name)
    expected = segmenter.segment(by_nibabel(tmp_path / "reference.nii.gz"))
    segmenter.segment_to(scan, tmp_path / "mask.nii.gz")
    mask = nib.load(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(np.asarray(mask.dataobj), expected.labels)
    np.testing.assert_allclose(mask.affine, AFFINE, atol=2e-5)
    assert verify_mask(scan, tmp_path / "mask.nii.gz") == []


def test_each_format_can_be_asked_for(tmp_path):
    """The place is checked by the library that the format belongs to."""
    for name in ("scan.nrrd", "exam"):
        (tmp_path / "in").mkdir(exist_ok=True)
        SCANS["a.nrrd" if name == "scan.nrrd" else name](tmp_path / "in" / name)
    for format_, ending in (("nrrd", ".nrrd"), ("mha", ".mha"), ("mgz", ".mgz")):
        report = run_cases(tmp_path, output=format_, mask_format=format_)
        assert statuses(report) == {"exam": "done", "scan": "done"}
        first, second = (outcome.mask for outcome in report.outcomes)
        assert first.name == f"exam{ending}"
        if ending == ".mgz":
            labels, affine = np.asarray(nib.load(first).dataobj), nib.load(first).affine
        else:
            image = sitk.ReadImage(str(first))
            labels = sitk.GetArrayFromImage(image).T
            ends = [image.TransformIndexToPhysicalPoint(p) for p in ((0, 0, 0), (7, 6, 5))]
            affine = None
            np.testing.assert_allclose(ends[0], [-1, -1, 1] * AFFINE[:3, 3], atol=1e-4)
            last = (AFFINE @ [7, 6, 5, 1])[:3]
            np.testing.assert_allclose(ends[1], [-1, -1, 1] * last, atol=1e-4)
        expected = make_segmenter(tmp_path / "bundle").segment(tmp_path / "in/exam").labels
        np.testing.assert_array_equal(labels, expected)
        if affine is not None:
            np.testing.assert_allclose(affine, AFFINE, atol=1e-4)
        assert verify_mask(tmp_path / "in/scan.nrrd", second) == []
        assert statuses(run_cases(tmp_path, output=format_, mask_format=format_)) == {
            "exam": "skipped", "scan": "skipped",
        }  # fmt: skip


def test_the_format_of_the_input(tmp_path):
    for name in ("a.nii", "pair.img", "b.mha", "c.mgz", "d.nhdr"):
        (tmp_path / "in").mkdir(exist_ok=True)
        key = {"b.mha": "a.mha", "c.mgz": "a.mgz", "d.nhdr": "a.nhdr"}.get(name, name)
        SCANS[key](tmp_path / "in" / name)
    report = run_cases(tmp_path, mask_format="input")
    assert report.exit_code == 0
    masks = [name for name in files(tmp_path / "out") if not name.endswith(("json", "jsonl"))]
    assert masks == ["a.nii", "b.mha", "c.mgz", "d.nrrd", "pair.nii.gz"]


def write_sheared(tmp_path, ending):
    """Write labels of a scan with a tilted gantry; return them and their file."""
    write_series(tmp_path / "exam", VOXELS, tilted())
    like, labels = open_volume(tmp_path / "exam"), np.zeros(SHAPE, np.uint8)
    labels[2:4, 3, 1:5] = 7
    target = tmp_path / f"mask{ending}"
    write_labels([labels], target, like=like, dtype=labels.dtype, metadata=MaskMetadata(NAMES))
    return labels, target


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_a_sheared_grid_is_refused_where_it_cannot_be_kept(tmp_path, ending):
    with pytest.raises(GeometryError, match="ITK cannot express"):
        write_sheared(tmp_path, ending)
    assert not (tmp_path / f"mask{ending}").exists()


@pytest.mark.parametrize("ending", [".mgz", ".nii.gz"])
def test_a_sheared_grid_is_kept(tmp_path, ending):
    labels, target = write_sheared(tmp_path, ending)
    found = nib.load(target)
    np.testing.assert_allclose(found.affine, tilted(), atol=1e-3)
    np.testing.assert_array_equal(np.asarray(found.dataobj), labels)


@pytest.mark.parametrize(
    ("highest", "dtype"), [(255, np.uint8), (256, np.uint16), (70000, np.uint32)]
)
@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".mgz"])
def test_large_labels(tmp_path, ending, highest, dtype):
    like = open_volume(by_nibabel(tmp_path / "a.nii"))
    labels = np.zeros(SHAPE, dtype)
    labels[1, 2, 3] = highest
    target = tmp_path / f"mask{ending}"
    write_labels(
        [labels], target, like=like, dtype=labels.dtype, metadata=MaskMetadata({highest: "x"})
    )
    found = open_volume(target)
    assert found.read(0, 6, axis=2)[0, 1, 2, 3] == highest
    shutil.copy(target, tmp_path / f"again{ending}")
    write_labels(
        [labels], target, like=like, dtype=labels.dtype, metadata=MaskMetadata({highest: "x"})
    )
    assert target.read_bytes() == (tmp_path / f"again{ending}").read_bytes()


def test_an_ending_that_no_mask_has(tmp_path):
    like = open_volume(by_nibabel(tmp_path / "a.nii"))
    with pytest.raises(OutputError, match="end its name in one of"):
        write_labels(
            [], tmp_path / "mask.png", like=like, dtype=np.dtype("u1"), metadata=MaskMetadata({})
        )


def read_all(path):
    volume = open_volume(path)
    return volume.read(0, volume.geometry.shape[2], axis=2)


def refused(path) -> str:
    with pytest.raises(UnetMedError) as caught:
        read_all(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"8 7 6", b"8 7 60000", "is cut off"),
        (b"8 7 6", b"8 -7 6", "whole numbers above 0"),
        (b"8 7 6", b"0 7 6", "whole numbers above 0"),
        (b"8 7 6", b"8 7 6 1 1", "two to four"),
        (b"short", b"banana", "not one real number per voxel"),
    ],
)
def test_headers_that_cannot_be(tmp_path, name, old, new, said):
    path = SCANS[name](tmp_path / name)
    data = path.read_bytes()
    old = b"SHORT" if old == b"short" and name == "a.mha" else old
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    assert said in refused(path)


@pytest.mark.parametrize("name", ["a.nhdr", "a.mhd"])
def test_voxels_outside_the_folder_are_not_fetched(tmp_path, name):
    (tmp_path / "in").mkdir()
    path = SCANS[name](tmp_path / "in" / name)
    (data,) = (p for p in (tmp_path / "in").iterdir() if p != path)
    assert volume_files(path) == [path, data]
    data.rename(tmp_path / data.name)
    header = path.read_bytes()
    for where in (f"../{data.name}", str(tmp_path / data.name), "%03d.raw", ".."):
        path.write_bytes(header.replace(data.name.encode(), where.encode()))
        assert "must be one file beside it" in refused(path)
    path.write_bytes(header)
    assert "does not exist" in refused(path)


def test_an_mgz_bomb(tmp_path):
    header = nib.freesurfer.mghformat.MGHHeader()
    header["dims"] = (2000, 2000, 2000, 100)
    path = tmp_path / "a.mgz"
    path.write_bytes(gzip.compress(header.binaryblock.ljust(300, b"\0")))
    assert "cannot hold" in refused(path)


@pytest.mark.parametrize("space", ["left-posterior-superior", "RAS", "left-anterior-superior"])
def test_the_spaces_of_nrrd_are_those_of_itk(tmp_path, space):
    path = by_itk(tmp_path / "a.nrrd")
    data = path.read_bytes().replace(b"left-posterior-superior", space.encode())
    path.write_bytes(data)
    mine, itk = open_volume(path), from_sitk(sitk.ReadImage(str(path)))
    np.testing.assert_allclose(mine.geometry.voxel_to_world, itk.geometry.voxel_to_world, atol=1e-6)


@pytest.mark.parametrize("name", ["flat.nrrd", "flat.mha", "big.mha", "double.nrrd"])
def test_other_kinds_are_read_as_itk_reads_them(tmp_path, name):
    kind = np.float64 if "double" in name else np.int16
    array = np.random.default_rng(0).normal(0, 100, (4, 5) if "flat" in name else (3, 4, 5))
    image = sitk.GetImageFromArray(array.astype(kind))
    image.SetSpacing([0.5, 0.7, 2.0][: image.GetDimension()])
    image.SetOrigin([3.0, -4.0, 5.0][: image.GetDimension()])
    path = tmp_path / name
    sitk.WriteImage(image, str(path))
    if "big" in name:
        head, _, data = path.read_bytes().partition(b"LOCAL\n")
        head = head.replace(b"OrderMSB = False", b"OrderMSB = True")
        path.write_bytes(head + b"LOCAL\n" + np.frombuffer(data, "<i2").astype(">i2").tobytes())
    mine, itk = open_volume(path), from_sitk(sitk.ReadImage(str(path)))
    np.testing.assert_allclose(mine.geometry.voxel_to_world, itk.geometry.voxel_to_world)
    last = mine.geometry.shape[2]
    np.testing.assert_array_equal(mine.read(0, last, axis=2), itk.read(0, last, axis=2))
