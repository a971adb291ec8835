"""Build a command's parser from the signature and the docstring of its function.

A parameter becomes an option of the same name, with ``-`` for ``_``; its type says how the text is
read, its default is the option's default, and its entry under ``Args`` is the help.
"""

from __future__ import annotations

import argparse
import inspect
import re
from dataclasses import dataclass, field
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from unet_med.api.types import Parse
from unet_med.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SIMPLE: dict[Any, tuple[Callable[[str], Any], str]] = {int: (int, "N"), float: (float, "X")}
_SHORT = {"output": "-o", "bundle": "-b"}
_OTHER_OPTIONS = ("--help", "--json", "--debug")
_NO_DEFAULT = inspect.Parameter.empty


@dataclass(frozen=True)
class Command:
    """Describe a command: its function, and what a signature cannot say.

    Attributes:
        function: Its parameters are the options.
        arguments: Parameters that are given without ``--name``.
        hidden: Parameters that only Python has, such as callbacks.
        groups: Headings of the help with their options.
        exclusive: Options of which only one may be given.
        on_interrupt: Text when the command is stopped.

    Example:
        >>> def count(files: Inputs, *, at_most: int = 3) -> int:
        ...     '''Count files.
        ...
        ...     Args:
        ...         files: Files to count.
        ...         at_most: Stop here.
        ...     '''
        >>> from unet_med.api.types import Inputs
        >>> count.__annotations__["files"] = Inputs
        >>> Command(count, arguments=("files",)).option_names()
        ['--help', '--json', '--debug', '--at-most']
    """

    function: Callable[..., Any]
    arguments: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset({"progress", "command_line"})
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    exclusive: tuple[tuple[str, ...], ...] = ()
    on_interrupt: str = "stopped; nothing is left half written"

    @property
    def name(self) -> str:
        """Return the word on the command line."""
        return self.function.__name__

    def parameters(self) -> list[inspect.Parameter]:
        """Return the parameters that the command line has."""
        every = inspect.signature(self.function).parameters.values()
        return [one for one in every if one.name not in self.hidden]

    def option_names(self) -> list[str]:
        """Return every option, as it is written."""
        names = list(_OTHER_OPTIONS)
        for one in self.parameters():
            if one.name not in self.arguments:
                names.append(_option(one.name))
                names += [f"--no-{_option(one.name)[2:]}"] if one.default is True else []
        return names

    def options_of(self, args: argparse.Namespace) -> dict[str, Any]:
        """Return the parsed options by the names of the parameters."""
        return {one.name: getattr(args, one.name) for one in self.parameters()}

    def add_parser(self, add: Callable[..., argparse.ArgumentParser]) -> None:
        """Add the command to the program's parser by its ``add_parser``."""
        documentation = inspect.cleandoc(self.function.__doc__ or "")  # none under python -OO
        first, _, more = re.split(r"\n(?=Args:\n)", documentation)[0].partition("\n")
        parser = add(
            self.name,
            help=_plain(first).rstrip("."),
            description=_plain(more.strip() or first),
            allow_abbrev=False,
        )
        texts = argument_texts(documentation)
        groups = {
            name: group
            for heading, names in self.groups.items()
            for group in [parser.add_argument_group(heading)]
            for name in names
        }
        rivals: dict[str, argparse._MutuallyExclusiveGroup] = {}
        for one in self.parameters():
            place: argparse._ActionsContainer = groups.get(one.name, parser)
            for names in self.exclusive:
                if one.name in names:
                    if names[0] not in rivals:
                        rivals[names[0]] = place.add_mutually_exclusive_group()
                    place = rivals[names[0]]
            self._add_argument(place, one, texts.get(one.name, ""))
        parser.add_argument("--json", action="store_true", help="print JSON, nothing else")
        parser.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
        parser.set_defaults(command=self)

    def _add_argument(
        self, place: argparse._ActionsContainer, one: inspect.Parameter, text: str
    ) -> None:
        how = _reading(one.annotation, one.default)
        shown = one.default is not _NO_DEFAULT and type(one.default) in (int, float, str)
        how["help"] = text.replace("%", "%%") + (f" Default: {one.default}." if shown else "")
        if one.name in self.arguments:
            if how.pop("action", None) is _Collect:
                how["nargs"] = "+"
            elif one.default is not _NO_DEFAULT:
                how["nargs"] = "?"
            place.add_argument(one.name, **how)
            return
        short = [_SHORT[one.name]] if one.name in _SHORT else []
        how |= {"required": True} if one.default is _NO_DEFAULT else {"default": one.default}
        place.add_argument(*short, _option(one.name), **how)


class _Collect(argparse.Action):
    """Collect the values of an option that is given several times, as a tuple."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - of argparse
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,  # noqa: ARG002 - of argparse
    ) -> None:
        """Add a value."""
        setattr(namespace, self.dest, (*(getattr(namespace, self.dest) or ()), values))


def argument_texts(documentation: str) -> dict[str, str]:
    r"""Return the text of each parameter from a docstring's ``Args``.

    Example:
        >>> argument_texts("Segment.\n\nArgs:\n    jobs: Processes,\n        at once.\n")
        {'jobs': 'Processes, at once.'}
    """
    section = re.search(r"^Args:\n((?: {4}.*\n|\n)*)", documentation + "\n", re.MULTILINE)
    entry = r"^ {4}(\w+): ((?:.*\n)(?:^ {8}.*\n)*)"
    entries = re.findall(entry, section[1] if section else "", re.MULTILINE)
    return {name: _plain(" ".join(text.split())) for name, text in entries}


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _plain(text: str) -> str:
    return text.replace("`", "")


def _reading(annotation: Any, default: object) -> dict[str, Any]:  # noqa: ANN401 - any type
    """Return what argparse needs to read a value of a type.

    Raises:
        TypeError: The type has no text form; annotate the parameter with `Parse`.
    """
    if annotation in _SIMPLE:
        parse, metavar = _SIMPLE[annotation]
        return {"type": parse, "metavar": metavar}
    origin, parts = get_origin(annotation), get_args(annotation)
    how: dict[str, Any]
    if annotation is bool:
        how = {"action": argparse.BooleanOptionalAction if default is True else "store_true"}
    elif origin is Literal:
        how = {"choices": parts}
    elif origin is Annotated and isinstance(parts[1], Parse):
        how = {"type": _converter(parts[1].parse), "metavar": parts[1].metavar}
        how |= {"action": _Collect} if parts[1].repeat else {}
    elif origin in (Union, UnionType) and parts[1:] == (type(None),):
        how = _reading(parts[0], default)
    else:
        msg = f"{annotation} has no text form: annotate it with unet_med.api.types.Parse"
        raise TypeError(msg)
    return how


def _converter(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let argparse show why a text cannot be read."""

    def convert(text: str) -> Any:  # noqa: ANN401 - whatever is parsed
        try:
            return parse(text)
        except InputError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    return convert
