"""The command line ``unet-med``: one file a command, parse → api → print → exit code."""

from __future__ import annotations

from unet_med.cli.command_line import COMMANDS, build_parser, main

__all__ = ["COMMANDS", "build_parser", "main"]
