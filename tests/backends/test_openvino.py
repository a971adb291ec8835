"""The OpenVINO backend against torch, and against itself at other settings."""

from __future__ import annotations

import importlib.util
import shutil
import threading
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from tests.exports import make_export, needs_openvino, write_scan
from unet_med.backends import Execution, hardware, open_predictor
from unet_med.backends.openvino_backend import OpenVINOPredictor, openvino_core
from unet_med.backends.torch_backend import TorchPredictor, build_network
from unet_med.bundle import open_bundle
from unet_med.bundle.weights import load_weights
from unet_med.errors import InputError
from unet_med.inference import (
    SlicePipeline,
    VolumeSlices,
    fit_batch,
    iter_batches,
    iter_logits,
    pipeline,
    volume_statistics,
)
from unet_med.preprocessing import Context
from unet_med.segmenter import load_segmenter
from unet_med.volumes import open_volume

needs_openvino()

FP32_TOLERANCE = 1e-4  # another order of sums, batch norms folded; measured 3e-6
HAS_NNCF = importlib.util.find_spec("nncf") is not None
SIZES = [(1, 1, 1), (2, 37, 53), (1, 64, 48), (3, 7, 130)]


def runs_bf16():
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


needs = {
    "fp32": (),
    "bf16": pytest.mark.skipif(not runs_bf16(), reason="this processor has no bfloat16"),
    "int8": pytest.mark.skipif(not HAS_NNCF, reason="int8 needs the extra quantize"),
}
each_precision = pytest.mark.parametrize(
    "precision", [pytest.param(name, marks=marks) for name, marks in needs.items()]
)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.nii.gz")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, scan):
    folder = tmp_path_factory.mktemp("exported") / "bundle"
    return make_export(folder, scan, int8=HAS_NNCF, sizes=(8, 16))


def predictor_of(bundle, precision="fp32", threads=1):
    opened = open_bundle(bundle)
    execution = Execution("openvino", precision, "cpu", threads, "")
    return open_predictor(opened.recipe, opened.weights_path, execution)


def torch_of(bundle):
    opened = open_bundle(bundle)
    network = build_network(opened.recipe).eval()
    load_weights(network, opened.weights_path)
    return TorchPredictor(network, threads=1)


def noise(n, height, width, channels=1):
    rng = np.random.default_rng(height * width)
    return rng.normal(size=(n, channels, height, width)).astype(np.float32)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_size_equals_torch(bundle, size):
    slices = noise(*size)
    logits = predictor_of(bundle)(slices)
    expected = torch_of(bundle)(slices)
    assert logits.dtype == np.float32
    assert logits.shape == expected.shape
    np.testing.assert_allclose(logits, expected, rtol=0, atol=FP32_TOLERANCE)


@each_precision
def test_logits_depend_on_neither_batch_nor_threads(bundle, precision):
    slices = noise(32, 48, 40)
    together = predictor_of(bundle, precision)(slices)
    by_eight = predictor_of(bundle, precision, threads=2)
    one_by_one = predictor_of(bundle, precision)
    eights = np.concatenate([by_eight(slices[n : n + 8]) for n in range(0, 32, 8)])
    ones = np.concatenate([one_by_one(slices[n : n + 1]) for n in range(32)])
    np.testing.assert_array_equal(together, eights)
    np.testing.assert_array_equal(together, ones)


@each_precision
def test_logits_do_not_depend_on_how_slices_share_the_threads(bundle, precision):
    slices = noise(7, 48, 40)
    expected = predictor_of(bundle, precision)(slices)
    predictor = predictor_of(bundle, precision, threads=3)
    streams = []
    for n in (7, 1, 2, 3, 2, 1, 1, 7, 7):
        np.testing.assert_array_equal(predictor(slices[:n]), expected[:n])
        streams.append(predictor._streams)
    assert streams == [3, 3, 1, 1, 1, 1, 1, 1, 3]
    first_is_small = predictor_of(bundle, precision, threads=2)
    np.testing.assert_array_equal(first_is_small(slices[:1]), expected[:1])
    assert first_is_small._streams == 1


@each_precision
def test_calls_submitted_while_others_run_give_the_same_logits(bundle, precision):
    batches = [noise(n, 48, 40) for n in (4, 3, 4, 2)]
    expected = [predictor_of(bundle, precision)(batch) for batch in batches]
    predictor = predictor_of(bundle, precision, threads=2)
    for order in ((0, 1, 2, 3), (2, 0, 3, 1)):
        results = [predictor.submit(batch) for batch in batches]
        for n in order:
            np.testing.assert_array_equal(results[n](), expected[n])
    waiting = predictor.submit(batches[0])
    np.testing.assert_array_equal(predictor(batches[1]), expected[1])  # called in between
    np.testing.assert_array_equal(waiting(), expected[0])
    waiting = predictor.submit(batches[0])
    last = predictor.submit(batches[1][:1])
    assert predictor.submit(batches[1][:1]) is None  # compiled anew while two are not finished
    np.testing.assert_array_equal(predictor(batches[1][:1]), expected[1][:1])
    np.testing.assert_array_equal(last(), expected[1][:1])
    np.testing.assert_array_equal(waiting(), expected[0])


def test_one_thread_has_nothing_to_submit(bundle):
    assert predictor_of(bundle).submit(noise(4, 48, 40)) is None


def test_precisions_are_really_different(bundle):
    slices = noise(1, 48, 40)
    ways = [name for name in needs if name != "bf16" or runs_bf16()]
    ways = [name for name in ways if name != "int8" or HAS_NNCF]
    logits = [predictor_of(bundle, name)(slices) for name in ways]
    for n, first in enumerate(logits):
        for second in logits[n + 1 :]:
            assert not np.array_equal(first, second)


def test_logits_belong_to_the_caller(bundle):
    """A request's own memory is used again; neither side may see the other's."""
    predictor = predictor_of(bundle)
    slices = noise(2, 16, 24)
    first = predictor(slices)
    kept = first.copy()
    predictor(slices[::-1] * 5)  # not contiguous, another content
    np.testing.assert_array_equal(first, kept)
    slices[:] = 0
    np.testing.assert_array_equal(first, kept)
    first[:] = 7
    np.testing.assert_array_equal(predictor(noise(2, 16, 24)), kept)


def test_threads_of_the_caller_wait_for_each_other(bundle):
    predictor = predictor_of(bundle)
    inputs = [noise(1, 24 + 8 * n, 32) for n in range(4)]
    expected = [predictor(one) for one in inputs]
    found = [None] * len(inputs)

    def call(n):
        for _ in range(5):
            found[n] = predictor(inputs[n])

    workers = [threading.Thread(target=call, args=(n,)) for n in range(len(inputs))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@each_precision
def test_masks_depend_on_neither_batch_nor_threads_nor_container(
    bundle, scan, precision, monkeypatch, tmp_path
):
    plain = tmp_path / "scan.nii"
    nib.save(nib.load(scan), plain)
    masks = []
    for batch, threads, path in [(1, 1, scan), (8, 2, scan), (32, 1, plain), (8, 2, plain)]:
        monkeypatch.setattr(pipeline, "PIXELS_PER_BATCH", batch * 21 * 34)
        segmenter = load_segmenter(
            bundle, backend="openvino", precision=precision, threads=threads
        )  # fmt: skip
        masks.append(segmenter.segment(path).labels)
    assert len(np.unique(masks[0])) > 1
    for other in masks[1:]:
        np.testing.assert_array_equal(masks[0], other)


@each_precision
def test_constant_slices_run_once_give_the_same_logits(bundle, precision, tmp_path):
    scan = open_volume(write_scan(tmp_path / "blank.nii.gz", blank=7))
    recipe = open_bundle(bundle).recipe
    plan = fit_batch(
        SlicePipeline.for_scan(recipe, scan.geometry), recipe, backend="openvino", memory_gb=None
    )
    assert plan.batch_invariant
    rules = tuple(channel.normalization for channel in recipe.channels)
    source = VolumeSlices(scan, plan.layout, rules, volume_statistics(scan))
    network, found, asked = predictor_of(bundle, precision), {}, {}
    for once in (True, False):
        seen = asked[once] = []

        def counting(slices, seen=seen):
            seen.append(len(slices))
            return network(slices)

        way = replace(plan, batch_invariant=once, batch_size=4)
        batches = iter_batches(source, way)
        found[once] = np.concatenate([part for _, part in iter_logits(batches, way, counting)])
    np.testing.assert_array_equal(found[True], found[False])
    assert sum(asked[False]) == 11
    assert sum(asked[True]) == 11 - 6


def test_labels_agree_with_torch(bundle, scan):
    ours = load_segmenter(bundle, backend="openvino", precision="fp32", threads=1)
    torchs = load_segmenter(bundle, backend="torch", precision="fp32", threads=1)
    labels, expected = ours.segment(scan).labels, torchs.segment(scan).labels
    assert np.count_nonzero(labels != expected) <= 1e-5 * labels.size
    assert len(np.unique(expected)) > 1


def test_context_channels_and_spacing_agree_with_torch(tmp_path, scan):
    bundle = make_export(
        tmp_path / "bundle", scan, context=Context(3, 3.5), in_plane_spacing_mm=1.2
    )  # fmt: skip
    ours = load_segmenter(bundle, backend="openvino", threads=1).segment(scan).labels
    expected = load_segmenter(bundle, backend="torch", threads=1).segment(scan).labels
    assert np.count_nonzero(ours != expected) <= 1e-5 * ours.size


def test_a_model_in_memory_may_be_given(bundle):
    path = bundle / "models" / "openvino" / "model.xml"
    model = openvino_core().read_model(path)
    slices = noise(1, 16, 16)
    ours = OpenVINOPredictor(model, threads=1)(slices)
    np.testing.assert_array_equal(ours, predictor_of(bundle)(slices))


def test_bf16_without_the_instructions_is_refused(bundle):
    """OpenVINO itself would run float32 without a word."""
    if runs_bf16():
        pytest.skip("this processor has bfloat16")
    with pytest.raises(InputError, match="bfloat16"):
        predictor_of(bundle, "bf16")


@pytest.mark.parametrize(
    ("flags", "vendor", "faster"),
    [
        ("avx512_bf16 amx_bf16", "GenuineIntel", True),
        ("avx512_bf16", "GenuineIntel", False),
        ("avx512_bf16", "AuthenticAMD", True),
        ("avx2", "AuthenticAMD", False),
    ],
)
def test_bf16_is_faster_on_some_processors_only(tmp_path, monkeypatch, flags, vendor, faster):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: fpu {flags} sse\n\n")
    monkeypatch.setattr(hardware, "CPUINFO", cpuinfo)
    for function in (hardware._field, hardware.bf16_is_faster, hardware.int8_is_faster):
        function.cache_clear()
    try:
        assert hardware.bf16_is_faster() is faster
        assert hardware.int8_is_faster() is False
    finally:
        for function in (hardware._field, hardware.bf16_is_faster, hardware.int8_is_faster):
            function.cache_clear()


def test_torch_threads_stay_as_they_were(bundle):
    before = torch.get_num_threads()
    predictor_of(bundle, threads=2)(noise(1, 16, 16))
    assert torch.get_num_threads() == before


def test_a_moved_bundle_still_runs(bundle, tmp_path):
    moved = shutil.copytree(bundle, tmp_path / "elsewhere")
    slices = noise(1, 16, 16)
    np.testing.assert_array_equal(predictor_of(moved)(slices), predictor_of(bundle)(slices))
