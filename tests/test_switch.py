"""Switches of configs may come as text from MONAI's command line."""

from __future__ import annotations

import pytest

from unet_med._switch import is_on
from unet_med.errors import InputError


@pytest.mark.parametrize("value", [True, 1, "true", "True", "TRUE", "yes", "1"], ids=repr)
def test_on(value):
    assert is_on(value, "resume") is True


@pytest.mark.parametrize("value", [False, 0, "false", "False", "no", "0"], ids=repr)
def test_off(value):
    assert is_on(value, "resume") is False


@pytest.mark.parametrize("value", ["flase", "", None, 2, "none", []], ids=repr)
def test_anything_else_is_refused(value):
    with pytest.raises(InputError, match="resume is a switch: give true or false, got"):
        is_on(value, "resume")
