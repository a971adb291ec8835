"""What every MONAI user expects of a transform: names, backend, missing keys, plain arguments."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose
from monai.utils import TransformBackends

from unet_med import monai
from unet_med.errors import InputError

PROVENANCE = {"version": "1", "bundle": "b", "bundle_sha256": "0", "backend": "torch"} | {
    "precision": "fp32"
}
ARGUMENTS = {
    "LoadVolume": {"n_channels": 1},
    "NormalizeVolume": {"normalizations": [{"method": "fixed", "mean": 1, "std": 2}]},
    "ResampleInPlane": {"spacing_mm": 2},
    "StackContext": {"context": {"slices": 3, "reach_mm": 6}},
    "SaveMask": {
        "output_dir": "masks",
        "label_names": {"1": "bright"},
        "provenance": PROVENANCE,
        "overwrite": "false",
    },
}


def built(name, **arguments):
    """Build a transform as a bundle config does, from plain values."""
    config = {"it": {"_target_": f"unet_med.monai.{name}", **arguments}}
    return ConfigParser(json.loads(json.dumps(config))).get_parsed_content("it")


@pytest.mark.parametrize("name", ARGUMENTS)
def test_array_and_dictionary_forms_are_built_from_plain_values_and_say_their_backend(name):
    array = built(name, **ARGUMENTS[name])
    dictionary = built(f"{name}d", keys="image", **ARGUMENTS[name])
    assert array.backend == dictionary.backend == [TransformBackends.NUMPY]
    assert pickle.loads(pickle.dumps(dictionary)).keys == ("image",)
    assert type(dictionary.transform) is type(array)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_dictionary_forms_have_the_three_names_of_monai(name):
    kind = getattr(monai, f"{name}d")
    assert getattr(monai, f"{name}D") is getattr(monai, f"{name}Dict") is kind
    assert {f"{name}{end}" for end in ("", "d", "D", "Dict")} <= set(monai.__all__)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_missing_keys_are_allowed_only_when_told_so(name):
    data = {"other": torch.ones(1, 2, 2, 2)}
    arguments = ARGUMENTS[name] | ({"case_key": "case"} if name == "SaveMask" else {})
    with pytest.raises(KeyError, match="image"):
        built(f"{name}d", keys="image", **arguments)(data)
    tolerant = built(f"{name}d", keys="image", allow_missing_keys=True, **arguments)
    assert Compose([tolerant], lazy=True)(data) == data


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("StackContext", {"context": {"slice": 3}}, r"context has unknown keys \['slice'\]"),
        ("StackContext", {"context": {"slices": 2, "reach_mm": 1}}, "context: .*odd number"),
        ("StackContext", {"context": 3}, "context must be an object, got int"),
        (
            "NormalizeVolume",
            {"normalizations": [{"kind": "zscore"}]},
            r"normalizations\[0\] has unknown keys \['kind'\]",
        ),
        (
            "SaveMask",
            ARGUMENTS["SaveMask"] | {"provenance": {"author": "me"}},
            r"provenance has unknown keys \['author'\]",
        ),
    ],
)
def test_mappings_that_do_not_fit_are_refused_by_the_name_of_the_field(name, arguments, text):
    with pytest.raises(InputError, match=text):
        getattr(monai, name)(**arguments)
