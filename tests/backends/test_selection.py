from __future__ import annotations

import hashlib
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from unet_med import backends
from unet_med.backends import torch_backend
from unet_med.backends.torch_backend import TorchPredictor
from unet_med.errors import InputError
from unet_med.networks import UNet2D
from unet_med.recipe import Channel, NetworkRecipe, Recipe, VerifiedPrecision


def make_recipe(*precisions):
    return Recipe(
        "tiny",
        NetworkRecipe(1, 1, (2, 4)),
        (Channel("t1"),),
        {1: "one"},
        precisions=precisions,
        weights_sha256=WEIGHTS,
    )


WEIGHTS = "a" * 64


def verified(precision, *, ok=True, of=WEIGHTS):
    return VerifiedPrecision("torch", precision, verified=ok, agreement=0.999, model_sha256=of)


def test_auto_is_fp32_when_nothing_is_verified():
    execution = backends.resolve_execution(make_recipe())
    assert (execution.backend, execution.precision) == ("torch", "fp32")
    assert execution.threads == backends.available_threads()


@pytest.mark.parametrize(
    ("native", "ok", "expected"),
    [(True, True, "bf16"), (False, True, "fp32"), (True, False, "fp32")],
)
def test_auto_takes_a_verified_precision_that_is_native(monkeypatch, native, ok, expected):
    monkeypatch.setitem(torch_backend.PRECISIONS, "bf16", native)
    recipe = make_recipe(verified("bf16", ok=ok))
    assert backends.resolve_execution(recipe).precision == expected


def test_a_verdict_of_other_weights_is_none(monkeypatch):
    monkeypatch.setitem(torch_backend.PRECISIONS, "bf16", True)
    for other in ("b" * 64, ""):
        assert (
            backends.resolve_execution(make_recipe(verified("bf16", of=other))).precision == "fp32"
        )


def test_weights_without_a_stated_digest_are_read(monkeypatch, tmp_path):
    monkeypatch.setitem(torch_backend.PRECISIONS, "bf16", True)
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    recipe = replace(make_recipe(verified("bf16", of=digest)), weights_sha256="")
    assert backends.resolve_execution(recipe, weights=weights).precision == "bf16"
    assert backends.resolve_execution(recipe).precision == "fp32"


def test_a_cuda_device_has_precisions_of_its_own(monkeypatch):
    """Of the device nothing can be run here; which table is asked can."""
    monkeypatch.setattr(torch_backend, "resolve_device", lambda _: "cuda")
    monkeypatch.setattr(torch_backend, "cuda_precisions", lambda: {"fp32": True, "bf16": False})
    monkeypatch.setitem(torch_backend.PRECISIONS, "bf16", True)
    assert (
        backends.resolve_execution(make_recipe(verified("bf16")), device="cuda").precision == "fp32"
    )


def test_an_unverified_precision_runs_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        execution = backends.resolve_execution(make_recipe(), precision="bf16")
    assert execution.precision == "bf16"
    assert len(caplog.records) == 1
    assert "unverified" in execution.reason


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"backend": "tensorrt"}, "no backend"),
        ({"precision": "int8", "backend": "torch"}, "no precision"),
        ({"device": "tpu"}, "no device"),
        ({"threads": 0}, "threads"),
        ({"threads": "null"}, "threads must be at least 1, got .null.; leave it out"),
        ({"threads": 1.5}, "threads must be"),
        ({"threads": "2"}, "threads must be"),
    ],
)
def test_what_cannot_be_had_is_refused(options, text):
    with pytest.raises(InputError, match=text):
        backends.resolve_execution(make_recipe(), **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused():
    with pytest.raises(InputError, match="no CUDA device"):
        backends.resolve_execution(make_recipe(), device="cuda")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_predictor_gives_float32_logits(precision):
    torch.manual_seed(0)
    network = UNet2D(2, 3, (4, 8)).eval()
    slices = np.random.default_rng(0).normal(size=(2, 2, 12, 20)).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(slices)).numpy()
    logits = TorchPredictor(network, precision=precision, threads=1)(slices)
    assert logits.dtype == np.float32
    assert logits.flags.c_contiguous
    tolerance = 1e-5 if precision == "fp32" else 0.05
    np.testing.assert_allclose(logits, expected, rtol=tolerance, atol=tolerance)


def test_networks_run_together_take_the_fastest_that_all_have(monkeypatch):
    monkeypatch.setitem(torch_backend.PRECISIONS, "bf16", True)
    fast, slow = make_recipe(verified("bf16")), make_recipe()
    found = backends.resolve_ensemble([(fast, None), (slow, None)])
    assert {how.precision for how in found} == {"fp32"}
    assert "fp32, as no faster precision is verified for all and native here" in found[0].reason
    assert "asked for" not in found[0].reason
    both = backends.resolve_ensemble([(fast, None), (fast, None)])
    assert {how.precision for how in both} == {"bf16"}
