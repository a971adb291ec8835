"""Arguments of MONAI's sliding-window inferers: the same result, or an error that says why."""

from __future__ import annotations

from inspect import signature

import pytest
import torch
from monai.inferers import SliceInferer, SlidingWindowInferer
from monai.utils import BlendMode

from tests.bundles import make_bundle
from tests.monai.test_inferer import make_network, make_volume
from unet_med.bundle import open_bundle
from unet_med.errors import InputError, WeightsError
from unet_med.monai import SlicewiseInferer

SAME_WEIGHTS = 1e-3
"""Gaussian weights are cut at 1e-3 of the peak, MONAI's at 1e-3 of what an odd side would have."""


@pytest.fixture(autouse=True)
def _no_gradients():
    torch.set_num_threads(1)
    torch.manual_seed(2)
    with torch.inference_mode():
        yield


def transposed_network(network):
    """MONAI's inferers see slices with rows and columns in array order, ours transposed."""

    def run(batch):
        return network(batch.transpose(-1, -2)).transpose(-1, -2)

    return run


@pytest.mark.parametrize("mode", ["gaussian", BlendMode.CONSTANT], ids=["text", "enum"])
@pytest.mark.parametrize(
    ("roi", "overlap", "sides"),
    [
        (16, 0.25, (32, 48)),
        ((16, 24), (0.5, 0.25), (32, 48)),
        ((16, None), 0.5, (32, 48)),
        ((0, 16), (0.25, 0.5), (32, 48)),
        (16, 0.3, (37, 50)),  # the last window is flush, and sides are no multiples
    ],
)
def test_windows_equal_those_of_monais_inferers(roi, overlap, sides, mode):
    """Ours are rows and columns of the slice: array axes (j, i), so MONAI's swapped."""
    columns, rows = sides
    volume, network = torch.randn(1, 1, columns, rows, 3), make_network()
    theirs_roi = [roi] * 2 if isinstance(roi, int) else roi[::-1]
    theirs_overlap = overlap if isinstance(overlap, float) else [*overlap[::-1], 0.0]
    monai = SliceInferer(2, theirs_roi, 4, theirs_overlap, mode)
    three_dimensional = SlidingWindowInferer([*theirs_roi, 1], 4, theirs_overlap, mode)
    ours = SlicewiseInferer(roi, 4, overlap, mode)(volume, network)
    wrapped = transposed_network(network)
    expected = monai(volume, wrapped)
    atol = 1e-5 if mode == BlendMode.CONSTANT else SAME_WEIGHTS
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=atol)
    whole = three_dimensional(volume, lambda batch: wrapped(batch[..., 0])[..., None])
    torch.testing.assert_close(ours, whole, rtol=1e-4, atol=atol)


def test_all_arguments_of_monai_are_taken_by_position():
    given = (16, 2, 0.25, "gaussian", 0.125, "constant", 0.0, "cpu", "cpu", False, True, None)
    volume, network = torch.randn(1, 1, 32, 48, 3), make_network()
    ours = SlicewiseInferer(*given, None, -1, False)(volume, network)
    theirs = SlidingWindowInferer((16, 16, 1), *given[1:], None, -1, False)
    wrapped = transposed_network(network)
    expected = theirs(volume, lambda batch: wrapped(batch[..., 0])[..., None])
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=SAME_WEIGHTS)
    names = [list(signature(kind).parameters) for kind in (SlicewiseInferer, SlidingWindowInferer)]
    assert names[0][: len(names[1])] == names[1]


@pytest.mark.parametrize(
    ("mode", "value"), [("constant", 7.0), ("reflect", 0.0), ("replicate", 0.0), ("circular", 0.0)]
)
def test_padding_up_to_the_multiple_takes_the_values_asked_for(mode, value):
    volume, seen = torch.randn(1, 1, 10, 13, 1), []

    def network(batch):
        seen.append(batch)
        return batch

    inferer = SlicewiseInferer(padding_mode=mode, cval=value, multiple=8)
    torch.testing.assert_close(inferer(volume, network), volume)
    slices = volume[..., 0].transpose(-1, -2)  # 13 rows, 10 columns
    expected = torch.nn.functional.pad(slices, (0, 6, 0, 3), mode, value)
    torch.testing.assert_close(seen[0], expected, rtol=0, atol=0)


def test_padding_that_a_slice_is_too_small_for_is_an_error_of_the_input():
    with pytest.raises(InputError, match="3 × 4 pixels cannot be padded by reflect"):
        SlicewiseInferer(padding_mode="reflect", multiple=16)(
            torch.zeros(1, 1, 4, 3, 2), make_network()
        )


@pytest.mark.parametrize("padding", [{}, {"cval": 1.0}])
def test_a_network_of_another_resolution_is_refused_with_both_shapes(padding):
    volume = torch.zeros(1, 1, 12, 16, 1)
    for scale in (0.5, 2.0):

        def network(batch, scale=scale):
            return torch.nn.functional.interpolate(batch, scale_factor=scale)

        with pytest.raises(WeightsError, match=r"slices \(1, 1, 16, 1[26]\) into \(1, 1, "):
            SlicewiseInferer(multiple=4, **padding)(volume, network)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"padding_mode": "reflect"}, "padded with zeros"),
        ({"cval": -1.0}, "padded with zeros"),
    ],
)
def test_a_recipe_fixes_the_padding(tmp_path, arguments, text):
    recipe = open_bundle(make_bundle(tmp_path)).recipe
    with pytest.raises(InputError, match=text):
        SlicewiseInferer(recipe=recipe, **arguments)


@pytest.mark.parametrize(
    "arguments", [{"condition": torch.zeros(1)}, {"buffer_steps": 1}, {"buffer_dim": 2}]
)
def test_arguments_of_a_call_that_monai_slices_or_buffers_are_refused(arguments):
    with pytest.raises(InputError, match=next(iter(arguments))):
        SlicewiseInferer()(make_volume(), make_network(), **arguments)


def test_the_device_of_the_result_can_be_chosen_and_overridden():
    volume = make_volume()
    assert SlicewiseInferer(device="meta")(volume, make_network()).device.type == "meta"
    inferer = SlicewiseInferer(device="meta")
    assert inferer(volume, make_network(), device="cpu").device.type == "cpu"


def test_the_network_runs_on_the_device_asked_for():
    seen = []

    def network(batch):
        seen.append(batch.device.type)
        return torch.zeros(batch.shape)

    SlicewiseInferer(sw_device="meta")(make_volume(), network)
    assert set(seen) == {"meta"}


def test_progress_is_shown_only_when_asked_for(capsys):
    SlicewiseInferer()(make_volume(), make_network())
    assert capsys.readouterr() == ("", "")
    SlicewiseInferer(progress=True)(make_volume(), make_network())
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "slices" in shown.err
    assert "100%" in shown.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"roi_size": (64, 64, 1)}, "roi_size needs one number or rows and columns"),
        ({"overlap": 1.0}, "overlap"),
        ({"overlap": (0.5, 1.0)}, "windows cannot be made"),
        ({"overlap": (0.5, 0.25, 0.25)}, "overlap needs one number or rows and columns"),
        ({"sigma_scale": 0.25}, "sigma_scale: it is always 0.125"),
        ({"padding_mode": "mirror"}, "padding_mode 'mirror'"),
        ({"cpu_thresh": 1000}, "cpu_thresh: slices are stitched one by one"),
        ({"buffer_steps": 2}, "buffer_steps: slices are stitched one by one"),
        ({"buffer_dim": 0}, "buffer_dim: slices are stitched one by one"),
        ({"with_coord": True}, "with_coord: the network sees slices alone"),
        ({"mode": "hann"}, "gaussian or constant"),
        ({"sw_batch_size": 0}, "sw_batch_size must be at least 1"),
        ({"multiple": 0}, "multiple must be at least 1"),
        ({"output": "labels"}, "needs a recipe"),
        ({"output": "label"}, "must be logits or labels, got 'label'"),
    ],
)
def test_bad_settings_are_refused(arguments, text):
    with pytest.raises(InputError, match=text):
        SlicewiseInferer(**arguments)
