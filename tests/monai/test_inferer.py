from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, MetaTensor
from monai.inferers import Inferer, SliceInferer
from monai.networks.nets import BasicUNet

from tests.bundles import make_bundle
from tests.monai.scans import in_lps
from unet_med.bundle import open_bundle
from unet_med.errors import InputError, WeightsError
from unet_med.monai import SlicewiseInferer
from unet_med.networks import UNet2D
from unet_med.preprocessing import Context
from unet_med.recipe import Recipe


def make_network(in_channels=1, out_channels=3):
    torch.manual_seed(0)
    return UNet2D(in_channels, out_channels, (4, 8)).eval()


def make_volume(shape=(1, 1, 16, 24, 9), affine=None):
    torch.manual_seed(1)
    return MetaTensor(torch.randn(shape), affine=torch.eye(4) if affine is None else affine)


@pytest.fixture(autouse=True)
def _no_gradients():
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield


@pytest.mark.parametrize(
    ("slice_axis", "spatial_dim"), [("axial", 2), ("coronal", 1), ("sagittal", 0)]
)
def test_whole_slices_equal_monais_slice_inferer(slice_axis, spatial_dim):
    """MONAI's SliceInferer sees slices with rows and columns in array order, ours transposed."""
    volume = torch.randn(1, 1, 16, 24, 32)
    network = make_network()

    def transposed(batch):
        return network(batch.transpose(-1, -2)).transpose(-1, -2)

    sides = [side for n, side in enumerate((16, 24, 32)) if n != spatial_dim]
    monai = SliceInferer(roi_size=sides, spatial_dim=spatial_dim, sw_batch_size=4)
    expected = monai(volume, transposed)
    ours = SlicewiseInferer(slice_axis=slice_axis)(volume, network)
    assert isinstance(SlicewiseInferer(), Inferer)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_any_size_works_with_a_network_that_needs_a_multiple():
    """MONAI's own sliding window fails on slices that the network cannot halve."""
    network = BasicUNet(
        spatial_dims=2, in_channels=1, out_channels=2, features=(4, 4, 8, 8, 8, 4)
    ).eval()
    volume = torch.randn(1, 1, 17, 35, 3)
    assert SlicewiseInferer(multiple=16)(volume, network).shape == (1, 2, 17, 35, 3)


def test_the_affine_says_which_axis_is_axial():
    volume = make_volume()
    expected = SlicewiseInferer()(volume, make_network())
    turned_affine = torch.eye(4)[:, [2, 0, 1, 3]]  # array axes are now S, R, A
    turned = MetaTensor(volume.permute(0, 1, 4, 2, 3).as_tensor(), affine=turned_affine)
    result = SlicewiseInferer()(turned, make_network())
    torch.testing.assert_close(result.permute(0, 1, 3, 4, 2).as_tensor(), expected.as_tensor())


def test_flips_of_the_file_are_undone():
    volume = make_volume()
    affine = torch.diag(torch.tensor([-1.0, -1.0, -1.0, 1.0]))
    flipped = MetaTensor(volume.as_tensor().flip(2, 3, 4), affine=affine)
    expected = SlicewiseInferer()(volume, make_network()).as_tensor()
    result = SlicewiseInferer()(flipped, make_network()).as_tensor()
    torch.testing.assert_close(result.flip(2, 3, 4), expected)


@pytest.mark.parametrize("n", [1, 2])
def test_an_affine_in_lps_gives_the_logits_of_the_same_affine_in_ras(n):
    """MONAI's readers keep LPS when they are told to, and a loader makes a list of the spaces."""
    images = [volume[0] for volume in (make_volume(), make_volume() + 1)][:n]
    inferer, network = SlicewiseInferer(), make_network()
    ras = next(iter(DataLoader(images, batch_size=n)))
    lps = next(iter(DataLoader([in_lps(image) for image in images], batch_size=n)))
    expected = inferer(ras, network).as_tensor()
    turned = inferer(MetaTensor(lps.as_tensor(), affine=lps.affine), network).as_tensor()
    assert not torch.allclose(turned, expected)
    torch.testing.assert_close(inferer(lps, network).as_tensor(), expected)


@pytest.mark.parametrize(("roi", "seen"), [((16, 16), {(16, 16)}), ((48, 48), {(16, 48)})])
def test_windows_asked_for_are_what_the_network_sees(roi, seen):
    """Also where a long slice has fewer pixels than a window: 6 rows of 40, padded to 16."""
    shapes = set()

    def network(batch):
        shapes.add(tuple(batch.shape[-2:]))
        return batch

    volume = torch.randn(1, 1, 40, 6, 2)
    result = SlicewiseInferer(roi_size=roi)(volume, network)
    assert shapes == seen
    torch.testing.assert_close(result, volume, rtol=1e-4, atol=1e-5)


def test_windows_blend_to_what_the_whole_slice_gives():
    """Seams: gaussian 0.5 stays within a few hundredths of the logits' deviation."""
    volume = torch.randn(1, 1, 64, 80, 2)
    network = make_network()
    whole = SlicewiseInferer()(volume, network)
    windowed = SlicewiseInferer(roi_size=(32, 32), sw_batch_size=3)(volume, network)
    difference = (whole - windowed).abs().mean() / whole.std()
    assert 0 < difference < 0.05


def test_slices_above_the_budget_are_windowed_without_being_asked():
    seen = []

    def network(batch):
        seen.append(tuple(batch.shape))
        return batch

    volume = torch.randn(1, 1, 1100, 1000, 1)
    result = SlicewiseInferer()(volume, network)
    assert {shape[-2:] for shape in seen} == {(512, 512)}
    torch.testing.assert_close(result, volume, rtol=1e-4, atol=1e-5)


def test_a_predictor_that_returns_its_input_leaves_the_volume_alone():
    """MONAI's sliding window overwrites the input here when the batch is one."""
    volume = torch.randn(1, 1, 32, 48, 3)
    before = volume.clone()
    result = SlicewiseInferer(roi_size=(16, 16), sw_batch_size=1)(volume, lambda batch: batch)
    torch.testing.assert_close(volume, before, rtol=0, atol=0)
    torch.testing.assert_close(result, before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "dtype", [torch.int16, torch.uint8, torch.bool, torch.float16, torch.bfloat16, torch.float64]
)
def test_volumes_of_every_type_are_taken_as_float32(dtype):
    """MONAI's sliding window raises on integers, and adds windows up in half precision."""
    volume = torch.randint(0, 100, (1, 1, 16, 16, 2)).to(dtype)
    result = SlicewiseInferer()(volume, make_network())
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, SlicewiseInferer()(volume.float(), make_network()))


def test_arguments_reach_the_network():
    """SliceInferer drops them."""
    volume = torch.zeros(1, 1, 4, 4, 2)
    result = SlicewiseInferer()(volume, lambda batch, *, shift: batch + shift, shift=3.0)
    assert (result == 3).all()


def test_a_batch_of_volumes_keeps_its_meta():
    volume = make_volume((2, 1, 16, 24, 5))
    result = SlicewiseInferer()(volume, make_network())
    assert isinstance(result, MetaTensor)
    assert result.shape == (2, 3, 16, 24, 5)
    alone = SlicewiseInferer()(volume[1:], make_network())
    torch.testing.assert_close(result[1:].as_tensor(), alone.as_tensor())


def test_the_recipe_takes_over(tmp_path):
    root = make_bundle(tmp_path, context=Context(3, 2.0), in_plane_spacing_mm=0.8)
    recipe = Recipe.load(root / "configs" / "recipe.json")
    assert open_bundle(root).recipe == recipe
    volume = make_volume(affine=torch.diag(torch.tensor([1.0, 1.2, 2.0, 1.0])))
    network = make_network(in_channels=3)
    logits = SlicewiseInferer(recipe=recipe)(volume, network)
    labels = SlicewiseInferer(recipe=recipe, output="labels")(volume, network)
    assert labels.dtype == torch.uint8
    assert labels.shape == (1, 1, 16, 24, 9)
    torch.testing.assert_close(labels[:, 0].as_tensor().long(), logits.as_tensor().argmax(1))


def test_voxels_without_a_value_are_not_blamed_on_the_weights(tmp_path):
    recipe = open_bundle(make_bundle(tmp_path)).recipe
    volume = make_volume()
    volume[0, 0, 3, 4, 5] = np.nan
    with pytest.raises(InputError, match="NaN or infinite voxels: normalize it first"):
        SlicewiseInferer(recipe=recipe, output="labels")(volume, make_network())


def test_other_ranks_are_refused():
    with pytest.raises(InputError, match=r"\(B, C, i, j, k\)"):
        SlicewiseInferer()(torch.zeros(1, 1, 16, 16), make_network())


def test_a_network_that_gives_several_outputs_is_refused_in_one_line():
    with pytest.raises(WeightsError, match="gave a tuple, not one tensor"):
        SlicewiseInferer()(torch.zeros(1, 1, 4, 4, 2), lambda batch: (batch, batch))


def test_a_network_in_training_mode_is_warned_of(messages_of):
    messages = messages_of("unet_med.monai.inferer")
    network = make_network()
    SlicewiseInferer()(make_volume(), network)
    assert not messages
    SlicewiseInferer()(make_volume(), network.train())
    assert "training mode" in messages[0]


def test_oblique_affines_find_the_nearest_axis():
    affine = nib.affines.from_matvec(
        nib.eulerangles.euler2mat(0.2, 0.1, 0.3) @ np.diag([1.0, 1.0, 4.0]), [3, 4, 5]
    )
    volume = make_volume()
    oblique = MetaTensor(volume.as_tensor(), affine=torch.from_numpy(affine))
    expected = SlicewiseInferer()(volume, make_network()).as_tensor()
    torch.testing.assert_close(SlicewiseInferer()(oblique, make_network()).as_tensor(), expected)
