"""Path type and checks that the functions of the API share."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

StrPath = str | PathLike[str]


def refuse_unknown(options: Mapping[str, object], known: type, *, function: str) -> None:
    """Refuse options that a function does not have; their types are the type checker's matter.

    Args:
        options: What was given.
        known: The `TypedDict` of the function's options.
        function: Its name, for the message.

    Raises:
        TypeError: Some are unknown.
    """
    unknown = sorted(set(options) - set(known.__annotations__))
    if unknown:
        msg = f"{function}() got unknown options {', '.join(unknown)}"
        raise TypeError(msg)
