"""The pages of words and keys say what the program has: no module and no key that is not there."""

from __future__ import annotations

import importlib.util
import json
import re
import typing
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path

from unet_med.recipe import Recipe

DOCS = Path(__file__).resolve().parent.parent / "docs"


def table_rows(text):
    """Return the cells of the rows of Markdown tables, without their heads."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [row for row in rows if row[0] not in {"key", "word"}]


def records_in(hint):
    """Yield a dataclass and those in its fields."""
    if is_dataclass(hint):
        yield hint
        for part in typing.get_type_hints(hint).values():
            yield from records_in(part)
    for part in typing.get_args(hint):
        yield from records_in(part)


def stated_default(field):
    if field.default_factory is not MISSING:
        value = field.default_factory()
        return "the defaults below" if is_dataclass(value) else f"`{json.dumps(value)}`"
    return "required" if field.default is MISSING else f"`{json.dumps(field.default)}`"


def test_the_recipe_page_lists_exactly_the_keys_and_defaults_of_a_recipe():
    text = (DOCS / "reference" / "recipe.md").read_text(encoding="utf-8")
    sections = re.split(r"^Class `(\w+)`\.$", text, flags=re.MULTILINE)[1:]
    stated = {
        name: [(key, default) for key, _, default, _ in table_rows(section)]
        for name, section in zip(sections[::2], sections[1::2], strict=True)
    }
    assert stated == {
        record.__name__: [(f"`{item.name}`", stated_default(item)) for item in fields(record)]
        for record in records_in(Recipe)
    }


def test_every_module_of_the_glossary_is_there_and_each_word_stands_once_in_order():
    rows = table_rows((DOCS / "glossary.md").read_text(encoding="utf-8"))
    words = [word.strip("`").casefold() for word, _, _ in rows]
    assert words == sorted(set(words))
    modules = {f"unet_med.{module.strip('`')}" for _, _, module in rows}
    assert {name for name in modules if importlib.util.find_spec(name) is None} == set()
