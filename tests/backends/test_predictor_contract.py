"""Both backends against the contract that any backend must meet."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tests.bundles import make_bundle
from tests.exports import make_export, needs_openvino, write_scan
from unet_med.backends import Execution, open_predictor
from unet_med.bundle import open_bundle
from unet_med.testing.predictors import PredictorContract

TORCH_BATCH_TOLERANCE = 1e-5
"""torch sums in another order for another batch; measured below 3e-6."""


def opened(folder, backend, damaged_file=None, **settings):
    """The predictor of a bundle, one of whose files may be cut off first."""
    if damaged_file is not None:
        path = folder / "models" / damaged_file
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    bundle = open_bundle(folder)
    execution = Execution(backend, "fp32", "cpu", settings.get("threads", 1), "")
    return open_predictor(bundle.recipe, bundle.weights_path, execution)


class TestTorch(PredictorContract):
    in_channels = 2
    out_channels = 3
    batch_tolerance = TORCH_BATCH_TOLERANCE
    picklable = True

    def make(self, folder, *, damaged=False):
        make_bundle(folder, n_channels=2)
        return opened(folder, "torch", "model.pt" if damaged else None)


class TestOpenVINO(PredictorContract):
    out_channels = 3
    threads: ClassVar[int] = 1

    @pytest.fixture(autouse=True)
    def _installed(self):
        needs_openvino()

    def make(self, folder, *, damaged=False):
        scan = write_scan(folder / "scan.nii.gz")
        make_export(folder / "bundle", scan)
        name = "openvino/model.bin" if damaged else None
        return opened(folder / "bundle", "openvino", name, threads=self.threads)


class TestOpenVINOInSeveralThreads(TestOpenVINO):
    threads = 2
