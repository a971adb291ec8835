"""UNet2D is the notebook's network, and takes images of any size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks.notebook_oracle import OracleUnet
from unet_med.networks import DualConv, Unet, UNet2D

NOTEBOOK_PARAMETERS = 31_036_481
SHAPES = [
    ((8, 16), 1, 1, (1, 1, 4, 4)),
    ((8, 16), 3, 5, (2, 3, 12, 20)),
    ((4, 8, 16, 32), 1, 2, (3, 1, 48, 16)),
    ((2, 4, 8, 16, 32, 64), 1, 1, (1, 1, 64, 128)),
]


def pair(sizes, in_channels, out_channels, seed=0):
    """Return the oracle with uneven running statistics, and our network with its weights."""
    torch.manual_seed(seed)
    oracle = OracleUnet(in_channels, out_channels, sizes)
    for module in oracle.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.3, 0.3)
    ours = UNet2D(in_channels, out_channels, sizes)
    ours.load_state_dict(oracle.state_dict(), strict=True)
    return oracle, ours


@pytest.mark.parametrize(("sizes", "in_channels", "out_channels", "shape"), SHAPES)
def test_eval_output_is_the_notebooks_to_the_last_bit(sizes, in_channels, out_channels, shape):
    oracle, ours = pair(sizes, in_channels, out_channels)
    images = torch.randn(shape)
    with torch.inference_mode():
        expected, logits = oracle.eval()(images), ours.eval()(images)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, expected)
    assert expected.std() > 0


@pytest.mark.parametrize(("sizes", "in_channels", "out_channels", "shape"), SHAPES)
def test_training_step_is_the_notebooks_to_the_last_bit(sizes, in_channels, out_channels, shape):
    oracle, ours = pair(sizes, in_channels, out_channels)
    images = torch.randn(4, *shape[1:])
    for network in (oracle.train(), ours.train()):
        network.logits = network(images)
        network.logits.square().mean().backward()
    assert torch.equal(ours.logits, oracle.logits)
    expected = oracle.state_dict()
    for key, value in ours.state_dict().items():
        assert torch.equal(value, expected[key]), key
    gradients = dict(oracle.named_parameters())
    for name, parameter in ours.named_parameters():
        assert torch.equal(parameter.grad, gradients[name].grad), name


def test_defaults_are_the_notebooks():
    ours, oracle = UNet2D(), OracleUnet()
    assert sum(parameter.numel() for parameter in ours.parameters()) == NOTEBOOK_PARAMETERS
    expected = {key: value.shape for key, value in oracle.state_dict().items()}
    assert {key: value.shape for key, value in ours.state_dict().items()} == expected
    assert list(ours.state_dict()) == list(oracle.state_dict())
    assert Unet is UNet2D


def test_dual_conv_keeps_the_size():
    assert DualConv(2, 6)(torch.zeros(1, 2, 5, 9)).shape == (1, 6, 5, 9)


def padded_oracle(oracle, images):
    """Zeros at the end of each axis, up to the next multiple; the logits are cropped."""
    n, channels, height, width = images.shape
    multiple = 2 ** len(oracle.down)
    rows, columns = (multiple * -(-side // multiple) for side in (height, width))
    canvas = torch.zeros(n, channels, rows, columns)
    canvas[:, :, :height, :width] = images
    return oracle(canvas)[:, :, :height, :width]


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    levels=st.sampled_from([2, 3, 6]),
    channels=st.sampled_from([1, 3]),
)
def test_any_size_is_zero_padding_at_the_end_and_cropping(height, width, levels, channels):
    oracle, ours = pair(tuple(2 * 2**level for level in range(levels)), channels, 2)
    images = torch.randn(1, channels, height, width)
    with torch.inference_mode():
        logits = ours.eval()(images)
        assert logits.shape == (1, 2, height, width)
        assert torch.equal(logits, padded_oracle(oracle.eval(), images))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (13, 3), (16, 17)])
def test_padding_twice_is_padding_once(height, width):
    _, ours = pair((4, 8, 16), 1, 2)
    images = torch.randn(2, 1, height, width)
    by_hand = torch.nn.functional.pad(images, [0, -width % 8, 0, -height % 8])
    with torch.inference_mode():
        twice = ours.eval()(by_hand)[..., :height, :width]
        assert torch.equal(ours(images), twice)


def test_input_stays_as_it_was():
    _, ours = pair((4, 8), 1, 1)
    images = torch.randn(1, 1, 8, 12)
    before = images.clone()
    with torch.inference_mode():
        ours.eval()(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    "sizes", [(), (0,), (64, 64), (64, 96, 128), (64, 128, 512), (128, 64), (-4, -8)]
)
def test_sizes_must_double(sizes):
    with pytest.raises(ValueError, match="double per level"):
        UNet2D(sizes=sizes)


@pytest.mark.parametrize("spatial_dims", [1, 3])
def test_only_two_spatial_dims(spatial_dims):
    with pytest.raises(ValueError, match="spatial_dims must be 2"):
        UNet2D(spatial_dims=spatial_dims)
    assert UNet2D(sizes=(2, 4), spatial_dims=2)


@pytest.mark.parametrize(("in_channels", "out_channels"), [(0, 1), (1, 0)])
def test_channels_must_be_positive(in_channels, out_channels):
    with pytest.raises(ValueError, match="at least 1"):
        UNet2D(in_channels, out_channels, (2, 4))
