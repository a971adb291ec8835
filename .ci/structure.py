"""Print what the structure of the package costs a reader: sizes, hops, circles, exceptions.

Run it from the root of a checkout: ``python .ci/structure.py``. Imports inside functions and for
type checkers count. The last figures come from a real run of one scan with torch.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import io
import re
import sys
import tempfile
import threading
import tokenize
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "unet_med"
Graph = dict[str, set[str]]


def main() -> None:
    """Print one row per figure."""
    sys.path.insert(0, str(ROOT))
    modules = {_module(path): path for path in sorted(PACKAGE.rglob("*.py"))}
    graph = {name: set(_imports(path, modules)) - {name} for name, path in modules.items()}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    options = list(_options())
    lines = [_code_lines(path) for path in modules.values()]
    texts = [path.read_text(encoding="utf-8") for path in modules.values()]
    project = settings["project"]
    extras = {
        dependency
        for name, group in project["optional-dependencies"].items()
        if name not in {"test", "docs"}
        for dependency in group
    }
    undocumented = sorted(_without_example())
    here, through_threads = _frames()
    rows = {
        "files": len(modules),
        "lines of code (no docstrings, comments, blanks)": sum(lines),
        "lines of code in the largest file": max(lines),
        "frames of unet_med inside the network, one scan": here,
        "the same, through the threads that lead there": through_threads,
        "modules in import circles": sum(len(part) for part in _circles(graph)),
        "units in import circles": sum(len(part) for part in _circles(_units(graph))),
        "imports that point up or to a sibling": len(_upward(_units(graph), settings)),
        "noqa": sum(text.count("# noqa") for text in texts),
        "type: ignore": sum(text.count("type: ignore") for text in texts),
        "commands": len({command for command, _ in options}),
        "options": len(options),
        "regular dependencies": len(project["dependencies"]),
        "dependencies in extras": len(extras),
        "public objects without example": len(undocumented),
    }
    for name, value in rows.items():
        print(f"{value:>7}  {name}")
    if "--list" in sys.argv:
        print("\n".join(["", *undocumented]))
        print("\n".join(f"{a} -> {b}" for a, b in sorted(_upward(_units(graph), settings))))
        print("\n".join(" = ".join(sorted(part)) for part in _circles(graph)))


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in modules else str(node.module)


def _unit(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def _units(graph: Graph) -> Graph:
    units: Graph = {}
    for module, found in graph.items():
        units.setdefault(_unit(module), set()).update(_unit(other) for other in found)
    return {unit: found - {unit} for unit, found in units.items()}


def _circles(graph: Graph) -> list[set[str]]:
    """Return the strongly connected parts with more than one member."""
    reach = {start: _reachable(graph, start) for start in graph}
    parts = {
        frozenset(other for other in reach[start] if start in reach.get(other, ()))
        for start in graph
    }
    return [set(part) for part in parts if len(part) > 1]


def _reachable(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        for other in graph.get(todo.pop(), ()):
            if other not in seen:
                seen.add(other)
                todo.append(other)
    return seen


def _upward(units: Graph, settings: dict[str, Any]) -> set[tuple[str, str]]:
    """Return the imports between units that the layers of pyproject.toml do not allow."""
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(item["layers"] for item in contracts if item["type"] == "layers")
    level = {  # height, and whether neighbors may import each other
        unit: (len(layers) - number, ":" in layer)
        for number, layer in enumerate(layers)
        for unit in re.split(r"\s*[|:]\s*", layer)
    }

    def points_up(unit: str, other: str) -> bool:
        (height, free), (theirs, _) = level[unit], level[other]
        return theirs > height or (theirs == height and not free)

    return {
        (unit, other)
        for unit, found in units.items()
        for other in found
        if unit in level and other in level and points_up(unit, other)
    }


def _code_lines(path: Path) -> int:
    text = path.read_text(encoding="utf-8")
    code: set[int] = set()
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in layout:
            code.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if (  # docstrings, of attributes too
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            code.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(code)


def _options() -> Iterator[tuple[str, str]]:
    """Yield (command, option or argument) of the command line."""
    from unet_med.cli import build_parser

    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command, parser in action.choices.items():
                for option in parser._actions:
                    if option.dest not in {"help", "debug"}:
                        yield command, option.dest


def _without_example() -> Iterator[str]:
    """Yield public classes and functions of the package whose docstring has no example."""
    seen: set[object] = set()
    for folder in [PACKAGE, *sorted(PACKAGE.glob("*/"))]:
        if not (folder / "__init__.py").exists() or folder.name.startswith("_"):
            continue
        package = importlib.import_module(_module(folder / "__init__.py"))
        for name in getattr(package, "__all__", ()):
            found = getattr(package, name)
            if not (inspect.isclass(found) or inspect.isfunction(found)) or found in seen:
                continue
            seen.add(found)
            if ">>>" not in (inspect.getdoc(found) or ""):
                yield f"{package.__name__}.{name}"


def _frames() -> tuple[int, int]:
    """Return how many of our frames lie on the stack in the network, without and with threads."""
    import torch

    from unet_med.cli import main as command_line

    before = _note_who_starts_threads()
    seen: list[tuple[int, int]] = []

    def count(*_: object) -> None:
        own = _own_frames()
        seen.append((own, own + before.get(threading.get_ident(), 0)))

    handle = torch.nn.modules.module.register_module_forward_pre_hook(count)
    scan = next((ROOT / "sample_data/demo/images").glob("*.nii.gz"))
    with tempfile.TemporaryDirectory() as folder:
        words = ["segment", str(scan), "--output", folder, "--backend", "torch", "--json"]
        out, sys.stdout = sys.stdout, io.StringIO()
        try:
            code = command_line(words)
        finally:
            sys.stdout = out
            handle.remove()
    assert code == 0, code
    return seen[0]


def _own_frames() -> int:
    """Return how many frames of the package are on this thread's stack, besides the network."""
    frame: Any = sys._getframe(1)
    n = 0
    while frame is not None:
        path = frame.f_code.co_filename
        n += str(PACKAGE) in path and f"{PACKAGE}/networks" not in path
        frame = frame.f_back
    return n


def _note_who_starts_threads() -> dict[int, int]:
    """Record for each thread how many of our frames led to it."""
    before: dict[int, int] = {}
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit

    def led(call: Callable[..., Any], n: int) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            before[threading.get_ident()] = n
            return call(*args, **kwargs)

        return run

    def here() -> int:
        return _own_frames() + before.get(threading.get_ident(), 0)

    def start_noted(thread: threading.Thread) -> None:
        thread.run = led(thread.run, here())  # type: ignore[method-assign]
        start(thread)

    def submit_noted(pool: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        return submit(pool, led(function, here()), *args, **kwargs)

    threading.Thread.start = start_noted  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = submit_noted  # type: ignore[method-assign,assignment]
    return before


if __name__ == "__main__":
    main()
