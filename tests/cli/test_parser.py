"""The command line is made from the signatures of the API: no option can be in one of them only."""

from __future__ import annotations

import argparse
import inspect
from importlib import import_module
from typing import get_args

import pytest

import unet_med
from unet_med import api, backends
from unet_med.api import types
from unet_med.cli import COMMANDS, build_parser
from unet_med.cli.parser import Command, argument_texts
from unet_med.geometry import SLICE_AXIS_NAMES
from unet_med.metrics import EmptyPolicy
from unet_med.volumes import MASK_FORMATS

API_COMMANDS = [name for name in COMMANDS if name != "demo"]
ONLY_PROCESS = {"command", "debug", "json", "command_line", "standalone"}
ONLY_PYTHON = {"command_line", "listener", "log", "progress", "report_progress"}


def command(name):
    return import_module(f"unet_med.cli.{name}").COMMAND


def shortest(name):
    """Return the words of a command with nothing but what it requires."""
    words = [name]
    for one in command(name).parameters():
        if one.default is one.empty:
            flag = [] if one.name in command(name).arguments else [f"--{one.name}"]
            words += [*flag, "x"]
    return words


@pytest.mark.parametrize("name", API_COMMANDS)
def test_each_option_is_a_parameter_of_that_name_and_default(name):
    parameters = inspect.signature(getattr(unet_med, name)).parameters
    parsed = vars(build_parser([name]).parse_args(shortest(name)))
    assert parsed.keys() - ONLY_PROCESS == parameters.keys() - ONLY_PYTHON
    for option in parsed.keys() - ONLY_PROCESS:
        if parameters[option].default is not inspect.Parameter.empty:
            assert parsed[option] == parameters[option].default, option
    assert not any(one.kind is one.VAR_KEYWORD for one in parameters.values())


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_is_documented_and_each_name_in_the_table_exists(name, capsys):
    found = command(name)
    names = [one.name for one in found.parameters()]
    assert argument_texts(inspect.getdoc(found.function)).keys() >= set(names)
    listed = {one for group in found.groups.values() for one in group}
    assert {*listed, *found.arguments, *(one for some in found.exclusive for one in some)} <= {
        *names
    }
    with pytest.raises(SystemExit):
        build_parser([name]).parse_args([name, "--help"])
    out = capsys.readouterr().out
    for one in names:
        if one not in found.arguments:
            assert f"--{one.replace('_', '-')}" in out


def test_a_parameter_means_the_same_in_each_command():
    seen = {}
    for name in API_COMMANDS:
        for one in command(name).parameters():
            seen.setdefault(one.name, {}).setdefault((str(one.annotation), one.default), name)
    differing = {name for name, forms in seen.items() if len(forms) > 1}
    assert differing == {
        "bundle",  # segment averages several
        "images", "labels",  # required by calibrate; values of labels in evaluate
        "memory_gb",  # of a training step: 4
        "output",  # required where something is always written
        "precision",  # of a training: no int8
        "references",  # required by evaluate
        "slice_axis",  # decided from the data by plan
    }  # fmt: skip


def test_short_forms_and_repeated_options():
    parsed = build_parser(["segment"]).parse_args(
        ["segment", "a", "b", "-o", "out", "-b", "one", "-b", "two", "--save-maps", "entropy"]
    )
    assert parsed.inputs == ["a", "b"]
    assert [str(folder) for folder in parsed.bundle] == ["one", "two"]
    assert parsed.save_maps == ("entropy",)
    parsed = build_parser(["evaluate"]).parse_args([*shortest("evaluate"), "--no-report"])
    assert parsed.report is False


def test_choices_are_those_of_the_packages_below():
    assert get_args(types.SliceAxis) == SLICE_AXIS_NAMES
    assert get_args(types.Empty) == tuple(EmptyPolicy)
    assert set(get_args(types.Backend)) == {"auto", *backends.BACKENDS}
    assert set(get_args(types.Precision)) == {"auto", *backends.PRECISIONS}
    assert get_args(types.MaskFormat) == (*MASK_FORMATS, "input")


def test_a_type_without_text_form_is_an_error_when_the_command_is_made():
    def shout(words: list):
        """Shout."""

    parser = argparse.ArgumentParser()
    with pytest.raises(TypeError, match="annotate it with"):
        Command(shout).add_parser(parser.add_subparsers().add_parser)


def test_without_docstrings_the_command_line_still_parses(monkeypatch):
    monkeypatch.setattr(api.verify, "__doc__", None)
    assert build_parser(["verify"]).parse_args(["verify", "a", "b"]).mask.name == "b"
