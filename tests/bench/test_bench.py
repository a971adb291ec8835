"""That the ways compared give the same logits, and that the table says what was measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.bundles import make_bundle
from tests.exports import make_export, write_scan
from unet_med.backends import openvino_runtime
from unet_med.bench import memory, run, ways
from unet_med.bench.run import BenchSettings, run_bench
from unet_med.bench.work import network_flop
from unet_med.bundle import open_bundle
from unet_med.errors import InputError
from unet_med.networks import UNet2D
from unet_med.recipe import NetworkRecipe
from unet_med.windows import WindowRule


@pytest.fixture
def _small_windows(monkeypatch):
    monkeypatch.setattr(ways, "WINDOW", WindowRule((16, 16), 0.25, max_pixels=0))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    if not openvino_runtime.is_installed():
        return make_bundle(tmp_path_factory.mktemp("plain"))
    scan = write_scan(tmp_path_factory.mktemp("scan") / "scan.nii.gz")
    return make_export(tmp_path_factory.mktemp("exported"), scan)


@pytest.mark.parametrize("size", [(64, 48), (33, 70)], ids=str)
@pytest.mark.parametrize("network", [NetworkRecipe(3, 5, (4, 8, 16)), NetworkRecipe(1, 1, (8,))])
def test_work_is_what_torch_counts(network, size):
    built = UNet2D(network.in_channels, network.out_channels, network.sizes).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        built(torch.zeros(1, network.in_channels, *size))
    assert network_flop(network, *size) == counter.get_total_flops()


@pytest.mark.usefixtures("_small_windows")
@pytest.mark.parametrize("tiling", ["whole", "windows"])
def test_ways_compared_give_the_same_logits(bundle, tiling):
    slices = np.random.default_rng(0).normal(size=(3, 1, 24, 36)).astype(np.float32)
    opened = open_bundle(bundle)
    expected = ways.open_way(ways.Way("monai", "fp32", tiling), opened, threads=1)(slices)
    backends = ["torch", *(["openvino"] if openvino_runtime.is_installed() else [])]
    for backend in backends:
        logits = ways.open_way(ways.Way(backend, "fp32", tiling), opened, threads=1)(slices)
        assert logits.shape == expected.shape
        if tiling == "whole":
            np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
        else:  # MONAI starts its windows elsewhere at the end of an axis
            inner = np.abs(logits - expected)
            assert np.median(inner) < 1e-2 * np.abs(expected).max()


@pytest.mark.usefixtures("_small_windows")
def test_the_table_has_every_way_and_its_reasons(bundle):
    settings = BenchSettings(size=(24, 40), n_slices=2, rounds=2, threads=1, memory=False)
    result = run_bench(open_bundle(bundle), settings)
    assert [row.way for row in result.rows] == ways.all_ways(24, 40)
    assert len({row.way for row in result.rows}) == 12
    rows = {row.way: row for row in result.rows}
    assert rows[ways.BASELINE].speedup == 1.0
    int8 = rows[ways.Way("openvino", "int8", "whole")]
    assert int8.seconds_per_slice is None
    assert "export" in int8.reason
    for row in result.rows:
        if not row.reason:
            assert 0 < row.fastest <= row.seconds_per_slice
            assert row.gflop_per_second == pytest.approx(
                result.gflop_per_slice / row.seconds_per_slice
            )
            peak = result.matrix_gflop_per_second[row.way.precision]
            assert row.share_of_peak == pytest.approx(row.gflop_per_second / peak)


def test_small_slices_have_no_windows():
    assert {way.tiling for way in ways.all_ways(256, 256)} == {"whole"}
    assert {way.tiling for way in ways.all_ways(257, 10)} == {"whole", "windows"}


@pytest.mark.slow
def test_threads_of_torch_are_put_back(bundle):
    before = torch.get_num_threads()
    run_bench(
        open_bundle(bundle),
        BenchSettings(size=(16, 16), n_slices=1, rounds=1, threads=before + 1, memory=False),
    )
    assert torch.get_num_threads() == before


def test_memory_is_that_of_the_process_alone(bundle):
    """Larger slices need more, and what this process holds does not count."""
    way = ways.Way("torch", "fp32", "whole")
    held = np.ones(60_000_000)  # 480 MB that a forked child would count as its own
    small = np.zeros((1, 1, 16, 16), np.float32)
    large = np.zeros((1, 1, 2048, 2048), np.float32)
    peaks = [memory.peak_memory(way, bundle, one, threads=1) for one in (small, large)]
    assert 50e6 < peaks[0] < held.nbytes
    assert peaks[1] - peaks[0] > 2 * large.nbytes


@pytest.mark.parametrize(
    "settings", [{"size": (0, 5)}, {"n_slices": 0}, {"rounds": 0}, {"threads": -1}]
)
def test_settings_that_cannot_be_run_are_refused(settings):
    with pytest.raises(InputError):
        BenchSettings(**settings)


def test_the_matrix_product_is_counted_right(monkeypatch):
    times = iter([0.0, 2.0, 10.0, 11.0])
    monkeypatch.setattr(run.time, "perf_counter", lambda: next(times))
    assert run._matrix_speed(torch.float32) == pytest.approx(2 * run.MATRIX_SIDE**3 / 1e9)
