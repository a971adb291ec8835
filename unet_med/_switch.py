"""Switches of bundle configs, which MONAI's command line may hand over as text."""

from __future__ import annotations

from unet_med.errors import InputError

_MEANINGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def is_on(value: object, name: str) -> bool:
    """Return what a switch says, be it a truth value or its text.

    ``python -m monai.bundle run --overwrite false`` gives the text ``false``, which Python takes
    for true.

    Args:
        value: True, False, 1, 0, or the text true, false, yes, no, 1 or 0 in any case.
        name: What to call the switch in the message.

    Raises:
        InputError: It is none of these.

    Example:
        >>> is_on("false", "overwrite"), is_on(True, "overwrite")
        (False, True)
    """
    meaning = _MEANINGS.get(str(value).lower())
    if meaning is None:
        msg = f"{name} is a switch: give true or false, got {value!r}"
        raise InputError(msg)
    return meaning
