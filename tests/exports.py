"""Small exported bundles for tests, and scans that fit them."""

from __future__ import annotations

import importlib.util
import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from tests.bundles import make_bundle
from unet_med.backends import openvino_backend, precision_report
from unet_med.bundle import open_bundle
from unet_med.exporting import ExportSettings, export_bundle
from unet_med.exporting.samples import Scan

AFFINE = np.array([[-1.0, 0, 0, 9], [0, 1.5, 0, -7], [0, 0, 3, 2], [0, 0, 0, 1]])


def needs_openvino():
    """Skip a test or a module without OpenVINO; not by an import, which would report to a host."""
    if not openvino_backend.is_installed():
        pytest.skip("openvino is not installed", allow_module_level=True)


def needs_nncf():
    """Skip a test without NNCF, in the same way."""
    if importlib.util.find_spec("nncf") is None:
        pytest.skip("int8 needs the extra quantize")


def write_scan(path, *, shape=(21, 34, 11), seed=0, blank=0):
    """Write a scan of smooth noise, its first ``blank`` slices all zero."""
    rng = np.random.default_rng(seed)
    voxels = rng.integers(0, 300, shape).astype(np.int16)
    voxels[4:-4, 6:-6] += rng.integers(200, 900, voxels[4:-4, 6:-6].shape).astype(np.int16)
    voxels[..., :blank] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, AFFINE), path)
    return path


def make_export(root, scan, *, int8=False, **changes):
    """Write a bundle with an export measured on the scan, and return its folder."""
    if int8:
        needs_nncf()
    make_bundle(root, **changes)
    scans = (Scan((scan,)),)
    settings = ExportSettings(
        scans=scans, calibration=scans if int8 else (), n_calibration=6, n_slices=6, threads=1
    )
    export_bundle(open_bundle(root), settings)
    return root


def copy_of(bundle, target):
    """Return a copy that a test may damage."""
    return shutil.copytree(bundle, target)


def precision_report_of(bundle):
    """Return the precision report of an export, as parsed JSON."""
    path = bundle / "models" / "openvino" / precision_report.PRECISION_REPORT
    return path, json.loads(path.read_text())
