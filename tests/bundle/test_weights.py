from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch

from tests.full_disk import disk_full_after
from unet_med._files import sha256_file
from unet_med.bundle.weights import load_weights, save_weights
from unet_med.errors import OutputError, WeightsError
from unet_med.networks import UNet2D


def make_network(seed=0, **arguments):
    torch.manual_seed(seed)
    return UNet2D(**{"in_channels": 2, "out_channels": 3, "sizes": (2, 4), **arguments}).eval()


def test_save_and_load_give_the_same_network(tmp_path):
    network, other = make_network(0), make_network(1)
    digest = save_weights(network, tmp_path / "models" / "model.pt")
    assert digest == sha256_file(tmp_path / "models" / "model.pt")
    load_weights(other, tmp_path / "models" / "model.pt", sha256=digest)
    slices = torch.randn(1, 2, 9, 7)
    assert torch.equal(network(slices), other(slices))


def test_a_full_disk_is_said_and_leaves_what_was_there(tmp_path):
    path = tmp_path / "model.pt"
    before = save_weights(make_network(), path)
    for size in (0, 700, path.stat().st_size - 1):
        with disk_full_after(size), pytest.raises(OutputError, match=r"cannot write .*model\.pt"):
            save_weights(make_network(1), path)
    assert sha256_file(path) == before
    assert list(tmp_path.iterdir()) == [path]


def test_equal_tensors_give_equal_bytes_whatever_the_name(tmp_path):
    network = make_network()
    assert save_weights(network, tmp_path / "a.pt") == save_weights(network, tmp_path / "other.pt")


def test_the_file_is_a_plain_state_dict(tmp_path):
    save_weights(make_network(), tmp_path / "model.pt")
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    assert set(content) == set(make_network().state_dict())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"in_channels": 1}, r"down\.0\.block\.0\.weight has shape \(2, 1, 3, 3\)"),
        ({"sizes": (2, 4, 8)}, r"unexpected .*more"),
        ({"sizes": (2,)}, "missing"),
    ],
)
def test_other_shapes_and_keys_are_named(tmp_path, arguments, text):
    save_weights(make_network(**arguments), tmp_path / "model.pt")
    with pytest.raises(WeightsError, match=text):
        load_weights(make_network(), tmp_path / "model.pt")


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64])
def test_tensors_that_lose_their_values_are_refused(tmp_path, dtype):
    tensors = make_network().state_dict()
    tensors["last.weight"] = tensors["last.weight"].to(dtype)
    torch.save(tensors, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match=rf"last\.weight holds {dtype}, expected torch.float32"):
        load_weights(make_network(), tmp_path / "model.pt")


def test_half_precision_weights_are_taken(tmp_path):
    tensors = {key: value.half() for key, value in make_network().state_dict().items()}
    tensors |= {k: v.long() for k, v in tensors.items() if k.endswith("num_batches_tracked")}
    torch.save(tensors, tmp_path / "model.pt")
    network = make_network(1)
    load_weights(network, tmp_path / "model.pt")
    assert network.last.weight.dtype == torch.float32
    assert torch.equal(network.last.weight.half(), tensors["last.weight"])


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {"last.weight": torch.zeros(1)}, "epoch": 3},
        {"last.weight": np.zeros(3)},
        torch.zeros(3),
        {},
        {"a": Bomb()},
        torch.nn.Conv2d(1, 1, 1),
    ],
)
def test_anything_but_a_state_dict_is_refused(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match=r"state dict|state_dict"):
        load_weights(make_network(), tmp_path / "model.pt")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("content", [b"", b"not a file of torch", pickle.dumps(Bomb())])
def test_foreign_bytes_are_refused(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(WeightsError, match="not a plain tensor file"):
        load_weights(make_network(), tmp_path / "model.pt")
    assert not (tmp_path / "exploded").exists()


def test_another_digest_is_refused(tmp_path):
    save_weights(make_network(), tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="not the file its recipe names"):
        load_weights(make_network(), tmp_path / "model.pt", sha256="0" * 64)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="no weights at"):
        load_weights(make_network(), tmp_path / "model.pt")
