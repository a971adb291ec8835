"""DICOM series written with pydicom alone, from voxels and a grid in RAS+."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian

from unet_med.errors import VolumeError

NAME = "DOE^JANE"
IDENTIFIER = "MRN-4711"
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
OBLIQUE = np.array(
    [[-0.9, 0.1, 0.4, 30.5], [0.15, -1.1, 0.2, -40.25], [-0.1, -0.25, 3.0, 9.125], [0, 0, 0, 1]]
)


def orthonormal(spacing=(0.9, 1.1, 3.0), flip=()):
    """Return an oblique affine whose axes are perpendicular, with some of them reversed."""
    left, _, right = np.linalg.svd(OBLIQUE[:3, :3])
    affine = OBLIQUE.copy()
    affine[:3, :3] = (left @ right) * spacing
    for axis in flip:
        affine[:3, axis] *= -1
    return affine


def tilted(spacing=(0.9, 1.1, 3.0), degrees=12.0):
    """Return the affine of a CT with a tilted gantry: slices lean against the table's motion."""
    angle = np.radians(degrees)
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 1] = spacing[1] * np.array([0, -np.cos(angle), np.sin(angle)])
    affine[:3, 3] = (60.5, 30.25, -12.0)
    return affine


def write_series(
    folder, voxels, affine, *, shuffle=True, uid="1.2.826.0.1.3680043.8.498.1", **fields
):
    """Write (i, j, k) voxels as one file per slice, names and numbers in no useful order."""
    folder.mkdir(parents=True, exist_ok=True)
    n_slices = voxels.shape[2]
    order = np.random.default_rng(3).permutation(n_slices) if shuffle else np.arange(n_slices)
    paths = []
    for k in range(n_slices):
        dataset = image(
            voxels[:, :, k], affine @ [0, 0, k, 1], affine, uid=uid, number=int(order[k])
        )
        for name, value in fields.items():
            setattr(
                dataset, name, value[k] if isinstance(value, list) and name in PER_SLICE else value
            )
        path = folder / f"IM{order[k]:04d}"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


PER_SLICE = {"RescaleSlope", "RescaleIntercept", "EchoTime", "SOPInstanceUID"}


def position(ras):
    return [f"{value:.8f}"[:16] for value in (RAS_TO_LPS @ ras)[:3]]


def image(plane, origin, affine, *, uid, number):
    """Return one CT or MR image; ``plane`` is (i, j) = (column, row)."""
    lps = RAS_TO_LPS @ affine
    sizes = np.linalg.norm(lps[:3, :2], axis=0)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = f"{uid}.{number + 1}"
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"{uid}.{number + 1}"
    dataset.SeriesInstanceUID = uid
    dataset.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.77"
    dataset.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.78"
    dataset.PatientName, dataset.PatientID = NAME, IDENTIFIER
    dataset.PatientBirthDate, dataset.PatientSex = "19700101", "F"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20200101", "120000", "1"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "", ""
    dataset.Modality = "CT"
    dataset.Manufacturer = "none"
    dataset.SeriesNumber, dataset.InstanceNumber = 4, number + 1
    dataset.SeriesDescription = f"Head {NAME}"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ImageOrientationPatient = [f"{v:.8f}"[:16] for v in (lps[:3, :2] / sizes).T.ravel()]
    dataset.ImagePositionPatient = position(origin)
    dataset.PixelSpacing = [float(sizes[1]), float(sizes[0])]
    dataset.SliceThickness = 3.0
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    pixels_of(dataset, plane.T)
    return dataset


def pixels_of(dataset, rows):
    """Put (row, column) or (frame, row, column) integers into a data set."""
    dataset.Rows, dataset.Columns = rows.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * rows.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(rows.dtype.kind == "i")
    dataset.PixelData = np.ascontiguousarray(rows).tobytes()


def enhanced(path, voxels, affine, *, order=None, uid="1.2.826.0.1.3680043.8.498.5"):
    """Write an enhanced multi-frame MR, frames in any order."""
    order = list(range(voxels.shape[2])) if order is None else order
    dataset = image(voxels[:, :, 0], affine @ [0, 0, 0, 1], affine, uid=uid, number=0)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = EnhancedMRImageStorage
    dataset.Modality = "MR"
    for name in ("ImagePositionPatient", "PixelSpacing", "SliceThickness", "RescaleSlope",
                 "RescaleIntercept"):  # fmt: skip
        delattr(dataset, name)
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    sizes = np.linalg.norm(affine[:3, :2], axis=0)
    measures.PixelSpacing, measures.SliceThickness = [float(sizes[1]), float(sizes[0])], 3.0
    orientation.ImageOrientationPatient = dataset.ImageOrientationPatient
    del dataset.ImageOrientationPatient
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([orientation])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for k in order:
        frame, place, values = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [
            f"{v:.8f}"[:16] for v in (RAS_TO_LPS @ affine @ [0, 0, k, 1])[:3]
        ]
        values.RescaleSlope, values.RescaleIntercept = 0.5 + k, -k
        values.RescaleType = "US"
        frame.PlanePositionSequence = Sequence([place])
        frame.PixelValueTransformationSequence = Sequence([values])
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    dataset.NumberOfFrames = len(order)
    pixels_of(dataset, np.stack([voxels[:, :, k].T for k in order]))
    dataset.save_as(path, enforce_file_format=True)
    return path


def noise(shape=(7, 6, 5), dtype=np.int16, seed=0):
    return (
        np.random.default_rng(seed)
        .integers(-900 if np.dtype(dtype).kind == "i" else 0, 2000, shape)
        .astype(dtype)
    )


def edit(path, **fields):
    """Change attributes of a file; None removes one."""
    dataset = pydicom.dcmread(path)
    for name, value in fields.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.save_as(path)


def read_all(volume):
    return volume.read(0, volume.geometry.shape[2], axis=2)


def refused(action, kind=VolumeError) -> str:
    with pytest.raises(kind) as caught:
        action()
    text = str(caught.value)
    assert "\n" not in text
    assert NAME not in text
    assert IDENTIFIER not in text
    assert "1.2.826" not in text
    return text
