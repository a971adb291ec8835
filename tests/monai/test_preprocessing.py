"""NormalizeVolume(d), ResampleInPlane(d) and StackContext(d) equal the stream's steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import Activations, Compose, Invertd, allow_missing_keys_mode

from tests.monai.scans import OBLIQUE, in_lps, write_scan
from unet_med.errors import InputError, VolumeError
from unet_med.geometry import Geometry, slice_layout
from unet_med.inference import VolumeSlices, volume_statistics
from unet_med.monai.meta_tensor import ras_affine
from unet_med.monai.transforms import (
    LoadVolume,
    LoadVolumed,
    NormalizeVolume,
    NormalizeVolumed,
    ResampleInPlane,
    ResampleInPlaned,
    StackContext,
    StackContextd,
)
from unet_med.preprocessing import Context, InPlaneResampler, Normalization
from unet_med.volumes import open_volume, stack_volumes

RULES = (
    Normalization("zscore", "above_mean", -2.0, 3.0),
    Normalization("percentile", low=1, high=99),
)


ROUNDING = 1e-6  # float32 weights of the resampler


def test_zscore_is_the_textbooks():
    torch.manual_seed(0)
    image = 30 + 7 * torch.randn(1, 6, 9, 5)
    result = NormalizeVolume([{"method": "zscore"}])(image)
    expected = (image - image.double().mean()) / image.double().std(correction=0)
    torch.testing.assert_close(result, expected.float())
    assert type(result) is torch.Tensor


@pytest.mark.parametrize("slice_axis", ["axial", "coronal", "sagittal"])
def test_equals_the_stream_bit_for_bit(tmp_path, slice_axis):
    paths = [write_scan(tmp_path / f"{n}.nii.gz", seed=n) for n in range(2)]
    volume = stack_volumes([open_volume(path) for path in paths])
    layout = slice_layout(volume.geometry, slice_axis).in_file_order()
    stream = VolumeSlices(volume, layout, RULES, volume_statistics(volume))
    n_slices = layout.n_slices(volume.geometry)
    expected = np.concatenate([stream.read(n, n + 1) for n in range(n_slices)])
    whole = NormalizeVolume(RULES)(LoadVolume()(paths))
    np.testing.assert_array_equal(layout.to_slices(whole.numpy()), expected)


def test_meta_data_stay(tmp_path):
    path = write_scan(tmp_path / "a.nii.gz")
    image = LoadVolume()(path)
    before = image.clone()
    result = NormalizeVolume(RULES[:1])(image)
    assert torch.equal(result.affine, image.affine)
    assert result.meta["filename_or_obj"] == str(path)
    assert torch.equal(image, before)


def test_inverting_the_preprocessing_does_not_scale_a_mask(tmp_path):
    path = write_scan(tmp_path / "a.nii.gz")
    steps = Compose(
        [
            LoadVolumed("image"),
            NormalizeVolumed("image", normalizations=RULES[:1]),
            ResampleInPlaned("image", spacing_mm=None),
        ]
    )
    item = steps({"image": path})
    item["pred"] = (item["image"] > 0).float()
    assert set(item["pred"].unique().tolist()) == {0.0, 1.0}
    back = Invertd("pred", transform=steps, orig_keys="image", nearest_interp=False)(item)
    assert torch.equal(back["pred"].as_tensor(), item["pred"].as_tensor())


def test_activations_before_inverting_do_no_harm(tmp_path):
    path = write_scan(tmp_path / "a.nii.gz")
    steps = Compose([LoadVolumed("image"), ResampleInPlaned("image", spacing_mm=1.3)])
    item = steps({"image": path})
    logits = item["image"].clone()
    item["pred"] = Activations(sigmoid=True)(logits)
    back = Invertd("pred", transform=steps, orig_keys="image", nearest_interp=False)(item)
    assert back["pred"].shape == (1, 11, 14, 6)
    assert -ROUNDING <= back["pred"].min() <= back["pred"].max() <= 1 + ROUNDING


def test_wrong_number_of_channels():
    with pytest.raises(InputError, match="C = 2"):
        NormalizeVolume(RULES)(torch.ones(1, 4, 5, 6))


def test_a_constant_volume_is_refused():
    with pytest.raises(VolumeError, match="nothing to"):
        NormalizeVolume(RULES[:1])(torch.ones(1, 4, 5, 6))


def test_broken_voxels_become_background_and_are_warned_of(messages_of):
    messages = messages_of("unet_med.monai.transforms.preprocessing")
    torch.manual_seed(0)
    image = 30 + 7 * torch.randn(1, 6, 9, 5)
    image[0, 1, 2, 3], image[0, 4, 5, 1] = torch.nan, torch.inf
    result = NormalizeVolume(RULES[:1])(image)
    assert torch.isfinite(result).all()
    assert result[0, 1, 2, 3] == result[0, 4, 5, 1] == result.min()
    assert any("2 voxels are NaN or infinite" in text for text in messages)


SHAPE = (11, 14, 6)


AXES = ["axial", "coronal", "sagittal", "thickest"]


def volume(channels=1, shape=SHAPE):
    torch.manual_seed(0)
    return MetaTensor(torch.randn(channels, *shape), affine=torch.from_numpy(OBLIQUE))


@pytest.mark.parametrize("slice_axis", AXES)
@pytest.mark.parametrize("spacing_mm", [0.7, 2.6])
def test_equals_the_streams_resampler(slice_axis, spacing_mm):
    image = volume(2)
    geometry = Geometry(SHAPE, OBLIQUE)
    layout = slice_layout(geometry, slice_axis)
    _, row_mm, column_mm = layout.spacing(geometry)
    slices = layout.to_slices(image.numpy())
    resampler = InPlaneResampler(slices.shape[-2:], (row_mm, column_mm), spacing_mm)
    result = ResampleInPlane(spacing_mm, slice_axis=slice_axis)(image)
    np.testing.assert_array_equal(layout.to_slices(result.numpy()), resampler.to_network(slices))
    assert result.shape[1 + layout.slice_axis] == SHAPE[layout.slice_axis]


def world(affine, index):
    return (np.asarray(affine) @ np.append(index, 1.0))[:3]


@pytest.mark.parametrize("slice_axis", AXES)
def test_the_affine_keeps_the_field_of_view(slice_axis):
    result = ResampleInPlane(0.8, slice_axis=slice_axis)(volume())
    for corner in np.ndindex(2, 2, 2):
        before = np.array(corner) * SHAPE - 0.5
        after = np.array(corner) * result.shape[1:] - 0.5
        np.testing.assert_allclose(
            world(OBLIQUE, before), world(result.affine.numpy(), after), atol=1e-5
        )


@pytest.mark.parametrize("slice_axis", AXES)
def test_a_linear_ramp_stays_where_it_is(slice_axis):
    positions = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)
    ramp = positions @ OBLIQUE[:3, :3].T[:, 0] + OBLIQUE[0, 3]
    image = MetaTensor(torch.from_numpy(ramp[None]).float(), affine=torch.from_numpy(OBLIQUE))
    result = ResampleInPlane(0.9, slice_axis=slice_axis)(image)
    index = np.array(result.shape[1:]) // 2  # away from the repeated edges
    expected = world(result.affine.numpy(), index)[0]
    assert result[(0, *index)].item() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("slice_axis", AXES)
def test_inverse_restores_the_grid(slice_axis):
    transform = ResampleInPlane(0.8, slice_axis=slice_axis)
    image = volume()
    forward = transform(image)
    logits = torch.cat([forward, -forward, 2 * forward]).copy_meta_from(forward)
    back = transform.inverse(logits)
    assert back.shape == (3, *SHAPE)
    torch.testing.assert_close(back.affine, image.affine, atol=1e-5, rtol=0)
    assert not back.applied_operations
    assert torch.equal(back[1].as_tensor(), -back[0].as_tensor())
    smooth = torch.ones_like(image)
    torch.testing.assert_close(transform.inverse(transform(smooth)).as_tensor(), smooth.as_tensor())


def test_the_input_stays_as_it_was():
    image = volume()
    before = image.clone()
    ResampleInPlane(0.8)(image)
    assert torch.equal(image, before)
    assert torch.equal(image.affine, before.affine)
    assert not image.applied_operations


def test_labels_are_not_interpolated_back():
    transform = ResampleInPlane(0.8)
    labels = transform(volume()).to(torch.uint8)
    with pytest.raises(InputError, match="never interpolated"):
        transform.inverse(labels)


def test_inverting_through_the_loader(tmp_path):
    path = write_scan(tmp_path / "a.nii.gz")
    steps = Compose(
        [
            LoadVolumed("image"),
            ResampleInPlaned("image", spacing_mm=0.8, slice_axis="coronal"),
            StackContextd("image", context=Context(3, 2.0), slice_axis="coronal"),
        ]
    )
    (batch,) = DataLoader(Dataset([{"image": str(path)}], steps), batch_size=1)
    batch["pred"] = batch["image"][:, :2]
    (item,) = decollate_batch(batch)
    back = Invertd("pred", transform=steps, orig_keys="image", nearest_interp=False)(item)["pred"]
    assert back.shape == (2, *SHAPE)
    np.testing.assert_allclose(back.affine.numpy(), OBLIQUE, atol=1e-5)
    assert back.meta["filename_or_obj"] == str(path)


def test_lazy_composing_changes_nothing(tmp_path):
    path = write_scan(tmp_path / "a.nii.gz")
    steps = [LoadVolumed("image"), ResampleInPlaned("image", spacing_mm=0.8)]
    eager, lazy = (Compose(steps, lazy=lazy)({"image": path})["image"] for lazy in (False, True))
    assert torch.equal(eager.as_tensor(), lazy.as_tensor())
    assert torch.equal(eager.affine, lazy.affine)


def test_compose_inverse_passes_over_the_context(tmp_path):
    path = write_scan(tmp_path / "a.nii.gz")
    resample = ResampleInPlaned(["image", "other"], spacing_mm=0.8, allow_missing_keys=True)
    steps = Compose([LoadVolumed("image"), resample])
    item = steps({"image": path})
    with allow_missing_keys_mode(steps):
        assert steps.inverse(item)["image"].shape == (1, *SHAPE)


@pytest.mark.parametrize("slice_axis", ["axial", "sagittal"])
def test_context_against_a_plain_loop(slice_axis):
    image = volume(2)
    context = Context(3, 3.2)
    geometry = Geometry(SHAPE, OBLIQUE)
    layout = slice_layout(geometry, slice_axis)
    result = StackContext(context, slice_axis=slice_axis)(image)
    assert result.shape == (6, *SHAPE)
    slices = layout.to_slices(image.numpy())
    stacked = layout.to_slices(result.numpy())
    offset = context.offsets(layout.spacing(geometry)[0])[-1]
    assert offset >= 1
    for n in range(len(slices)):
        low, high = max(n - offset, 0), min(n + offset, len(slices) - 1)
        expected = [*slices[low], *slices[n], *slices[high]]
        np.testing.assert_array_equal(stacked[n], expected)
    assert torch.equal(result.affine, image.affine)


def test_a_volume_needs_four_axes():
    with pytest.raises(InputError, match="C, i, j, k"):
        ResampleInPlane(1.0)(torch.zeros(3, 4, 5))


@pytest.mark.parametrize("slice_axis", AXES)
def test_an_affine_in_lps_means_the_same_slices(slice_axis):
    """Rows and columns would be turned by 180° if the space of the affine were passed over."""
    ras, lps = volume(), in_lps(volume())
    resample = ResampleInPlane(0.8, slice_axis=slice_axis)
    stack = StackContext(Context(3, 3.0), slice_axis=slice_axis)
    expected = ras_affine(resample(ras).affine, ras.meta)
    np.testing.assert_allclose(ras_affine(resample(lps).affine, lps.meta), expected)
    np.testing.assert_array_equal(resample(lps).numpy(), resample(ras).numpy())
    np.testing.assert_array_equal(stack(lps).numpy(), stack(ras).numpy())
