"""NormalizeVolume(d) is the streaming normalization, and never touches a mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import Activations, Compose, Invertd

from tests.transforms.scans import write_scan
from unet_med.errors import InputError, VolumeError
from unet_med.geometry import slice_layout
from unet_med.inference import VolumeSlices, volume_statistics
from unet_med.preprocessing import Normalization
from unet_med.transforms import (
    LoadVolume,
    LoadVolumed,
    NormalizeVolume,
    NormalizeVolumed,
    ResampleInPlaned,
)
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
            NormalizeVolumed("image", rules=RULES[:1]),
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
    messages = messages_of("unet_med.transforms.intensity")
    torch.manual_seed(0)
    image = 30 + 7 * torch.randn(1, 6, 9, 5)
    image[0, 1, 2, 3], image[0, 4, 5, 1] = torch.nan, torch.inf
    result = NormalizeVolume(RULES[:1])(image)
    assert torch.isfinite(result).all()
    assert result[0, 1, 2, 3] == result[0, 4, 5, 1] == result.min()
    assert any("2 voxels are NaN or infinite" in text for text in messages)
