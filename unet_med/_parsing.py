"""Parse values that MONAI's command line hands to a bundle config as text."""

from __future__ import annotations

from unet_med.errors import InputError

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def parse_bool(value: object, name: str) -> bool:
    """Parse a truth value or its text.

    ``python -m monai.bundle run --overwrite false`` gives the text ``false``, which Python takes
    for true.

    Args:
        value: True, False, 1, 0, or the text true, false, yes, no, 1 or 0 in any case.
        name: Name of the option, for the message.

    Raises:
        InputError: It is none of these.

    Example:
        >>> parse_bool("false", "overwrite"), parse_bool(True, "overwrite")
        (False, True)
    """
    parsed = _BOOLEANS.get(str(value).lower())
    if parsed is None:
        msg = f"{name} must be true or false, got {value!r}"
        raise InputError(msg)
    return parsed
