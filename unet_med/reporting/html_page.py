"""The HTML files of a report: each one whole in itself, and unable to reach a network.

Names come from files and may be anything. They reach the page as JSON text that cannot end its
script element, and the page writes them as text, never as markup. A content security policy lets
only the scripts run whose digests stand in it, and lets the page load nothing.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from unet_med._files import atomic_path
from unet_med._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SCRIPTS = (
    "volume.js", "plane.js", "viewer.js", "side.js", "charts.js", "cohort.js", "main.js",
)  # fmt: skip

GENERATOR_MARK = b'<meta name="generator" content="unet_med'
"""How every page of ours begins, whatever the version."""

_BODY = """<header><h1>{title}</h1><div id="case-head"></div><span id="status" role="status"></span>
</header>
<main><div id="case" hidden></div><div id="cohort"></div></main>
<noscript><p>This page needs JavaScript; everything it runs is inside this file.</p></noscript>
"""

_NOT_A_MEDICAL_DEVICE = (
    '<footer style="padding:8px 18px;color:#5b6570;font-size:13px">unet_med {version}. Not a '
    "medical device.</footer>\n"
)


def write_page(path: Path, *, title: str, report: dict[str, Any], pages: Iterable[str]) -> None:
    """Write one page whole.

    Args:
        path: The file.
        title: Heading.
        report: What ``report`` holds in the page; JSON-ready.
        pages: JSON text of each case in it (see `script_json`), in the order of their numbers;
            an empty text for a case that is elsewhere.

    Raises:
        OutputError: It cannot be written.
    """
    with (
        atomic_path(path) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream,
    ):
        stream.writelines(_parts(title, report=report, pages=pages))


def script_json(content: Any) -> str:  # noqa: ANN401 - anything json can hold
    """Return JSON that is safe inside a script element: markup is written as escapes."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _parts(title: str, *, report: dict[str, Any], pages: Iterable[str]) -> Iterator[str]:
    shown = html.escape(title)
    bokeh, own = _scripts()
    digests = " ".join(f"'sha256-{_digest(script)}'" for script in (bokeh, own))
    policy = (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
    )
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'{GENERATOR_MARK.decode()} {__version__}">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{shown}</title>\n<link rel="icon" href="data:,">\n'
        f"<style>{_asset('report.css')}</style>\n</head>\n<body>\n"
    )
    yield _BODY.format(title=shown)
    yield _NOT_A_MEDICAL_DEVICE.format(version=__version__)
    yield f'<script type="application/json" id="report">{script_json(report)}</script>\n'
    for number, page in enumerate(pages):
        if page:
            yield f'<script type="application/json" id="case-{number}">{page}</script>\n'
    yield f"<script>{bokeh}</script>\n<script>{own}</script>\n</body>\n</html>\n"


@lru_cache(maxsize=1)
def _scripts() -> tuple[str, str]:
    """Return Bokeh's script and ours."""
    from unet_med.reporting.charts import bokeh_script

    # "use strict" holds for a whole script: once is enough.
    own = "\n".join(_asset(name) for name in SCRIPTS)
    return bokeh_script(), f"(() => {{\n{own}}})();\n"


def _asset(name: str) -> str:
    return (resources.files("unet_med.reporting") / "assets" / name).read_text(encoding="utf-8")


@lru_cache(maxsize=4)
def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
