"""Scripted, traced and exported graphs agree with eager at sizes they never saw."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import torch
from torch.export import Dim

from unet_med.networks import UNet2D

SIZES = (4, 8, 16)
MULTIPLE = 2 ** len(SIZES)
IMAGES = [(1, 1), (1, 30), (9, 17), (16, 3), (8, 8), (24, 40)]
ONNX_TOLERANCE = 1e-5  # ONNX Runtime sums in another order; measured 3e-8


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return UNet2D(3, 2, SIZES).eval().requires_grad_(requires_grad=False)


@pytest.fixture(params=IMAGES, ids=str)
def images(request):
    torch.manual_seed(1)
    return torch.randn(2, 3, *request.param)


@pytest.fixture(scope="module")
def scripted(network):
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(network), buffer)
    buffer.seek(0)
    return torch.jit.load(buffer)


@pytest.fixture(scope="module")
def traced(network):
    return torch.jit.trace(network, torch.randn(1, 3, 5, 7))


@pytest.fixture(scope="module", params=[True, False], ids=["dynamo", "torchscript"])
def onnx_session(network, request):
    """The network in ONNX Runtime, through either of torch's exporters."""
    onnxruntime = pytest.importorskip("onnxruntime")
    buffer = io.BytesIO()
    axes = {0: "n", 2: "h", 3: "w"}
    if request.param:
        pytest.importorskip("onnxscript")
        dynamic = {"dynamic_shapes": {"x": dict.fromkeys(axes, Dim.DYNAMIC)}}
    else:
        dynamic = {"dynamic_axes": {"image": axes, "pred": axes}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch and onnxscript deprecate parts of themselves
        torch.onnx.export(
            network,
            (torch.randn(2, 3, 13, 21),),
            buffer,
            input_names=["image"],
            output_names=["pred"],
            dynamo=request.param,
            verbose=False,
            **dynamic,
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(buffer.getvalue(), options)


def test_scripted(network, scripted, images):
    assert torch.equal(scripted(images), network(images))


def test_traced(network, traced, images):
    assert torch.equal(traced(images), network(images))


def test_onnx(network, onnx_session, images):
    (logits,) = onnx_session.run(None, {"image": images.numpy()})
    np.testing.assert_allclose(logits, network(images).numpy(), atol=ONNX_TOLERANCE, rtol=0)


def test_torch_export(network):
    shapes = ({0: Dim.DYNAMIC, 2: MULTIPLE * Dim("h", min=2), 3: MULTIPLE * Dim("w", min=2)},)
    example = torch.randn(2, 3, 2 * MULTIPLE, 3 * MULTIPLE)
    exported = torch.export.export(network, (example,), dynamic_shapes=shapes).module()
    for height, width in [(2, 2), (5, 2), (3, 11)]:
        images = torch.randn(3, 3, height * MULTIPLE, width * MULTIPLE)
        assert torch.equal(exported(images), network(images))


def test_scripting_keeps_the_keys(network, scripted):
    assert list(scripted.state_dict()) == list(network.state_dict())
