"""Truth values of configs may come as text from MONAI's command line."""

from __future__ import annotations

import pytest

from unet_med._parsing import parse_bool
from unet_med.errors import InputError


@pytest.mark.parametrize("value", [True, 1, "true", "True", "TRUE", "yes", "1"], ids=repr)
def test_true(value):
    assert parse_bool(value, "resume") is True


@pytest.mark.parametrize("value", [False, 0, "false", "False", "no", "0"], ids=repr)
def test_false(value):
    assert parse_bool(value, "resume") is False


@pytest.mark.parametrize("value", ["flase", "", None, 2, "none", []], ids=repr)
def test_anything_else_is_refused(value):
    with pytest.raises(InputError, match="resume must be true or false, got"):
        parse_bool(value, "resume")
