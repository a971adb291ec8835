"""A headless Chromium, driven through its debugging pipe: no socket, no driver, no network.

Protocol: https://chromedevtools.github.io/devtools-protocol/, messages end with a zero byte.

As a script it takes a picture of a report: ``python tests/browser.py PAGE.html PICTURE.png
["#case=0&slice=62"]``.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--force-device-scale-factor=1", "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe",
)  # fmt: skip
SECONDS = 60


def find_chromium():
    """Return the path of a Chromium, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class NavigatedError(Exception):
    """The page that was asked something went away for another."""


class Browser:
    """One page."""

    def __init__(self, process, to_browser, from_browser):
        self.process, self.to_browser, self.from_browser = process, to_browser, from_browser
        self.number, self.buffer, self.session = 0, b"", None
        self.requests, self.complaints = [], []
        self.target, self.shape = None, (1280, 900)

    def _new_tab(self):
        self.session, old = None, self.target
        self.target = self.call("Target.createTarget", url="about:blank")["targetId"]
        if old:
            self.call("Target.closeTarget", targetId=old)
        attached = self.call("Target.attachToTarget", targetId=self.target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.size(*self.shape)

    def call(self, method, **params):
        """Send one command and return its result; events on the way are noted."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                if "navigated" in answer.get("error", {}).get("message", ""):
                    raise NavigatedError
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._note(answer)

    def _receive(self):
        end = time.monotonic() + SECONDS
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.from_browser], [], [], max(0, end - time.monotonic()))
            assert ready, "Chromium does not answer"
            part = os.read(self.from_browser, 1 << 20)
            assert part, "Chromium has ended"
            self.buffer += part
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event):
        params = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            said = details.get("exception", {}).get("description")
            self.complaints.append(said or details.get("text"))
        elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"]["text"])

    def run(self, expression):
        """Return the JSON value of a JavaScript expression; promises are awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression):
        """Wait until an expression is true and return its value."""
        end = time.monotonic() + SECONDS
        while not (value := self._run_here(expression)):
            assert time.monotonic() < end, (expression, self.complaints)
            time.sleep(0.02)
        return value

    def _run_here(self, expression):
        with suppress(NavigatedError):  # the page it was asked of is gone: ask the next one
            return self.run(expression)

    def size(self, width, height):
        self.shape = (width, height)
        if self.session:
            self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def open(self, path, fragment=""):
        """Open a file in a new tab and wait until the page says that it is ready."""
        self._new_tab()
        self.call("Page.navigate", url=Path(path).resolve().as_uri() + fragment)
        self.wait("Boolean(window.unetMed)")
        self.run("window.unetMed.ready.then(() => true)")

    def state(self):
        """Return what is shown, once it is drawn."""
        self.wait("window.unetMed.state()?.drawn && window.unetMed.state().loaded")
        return self.run("window.unetMed.state()")

    def box(self, selector):
        """Return left, top, width and height of an element, scrolled into view."""
        return self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            "return [b.left, b.top, b.width, b.height]; })()"
        )

    def click(self, selector, x=0.5, y=0.5):
        """Click into an element at shares of its width and height."""
        left, top, width, height = self.box(selector)
        self.click_at(left + x * width, top + y * height)

    def click_at(self, x, y):
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def wheel(self, selector, pixels):
        left, top, width, height = self.box(selector)
        self.call(
            "Input.dispatchMouseEvent",
            type="mouseWheel", x=left + width / 2, y=top + height / 2, deltaX=0, deltaY=pixels,
        )  # fmt: skip

    def key(self, key):
        text = {"text": key} if len(key) == 1 else {}
        code = {"ArrowUp": 38, "ArrowDown": 40, "ArrowLeft": 37, "ArrowRight": 39, "PageUp": 33,
                "PageDown": 34, "End": 35, "Home": 36, "Tab": 9, "Enter": 13}  # fmt: skip
        virtual = code.get(key, ord(key[0].upper()))
        for kind in ("keyDown", "keyUp"):
            more = text if kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=virtual, **more
            )

    def screenshot(self, path, whole=False):
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        Path(path).write_bytes(base64.b64decode(answer["data"]))


@contextmanager
def open_browser(width=1280, height=900):
    """Yield a `Browser`; everything it wrote is removed afterwards."""
    to_child, to_browser = os.pipe()
    from_browser, from_child = os.pipe()
    profile = tempfile.mkdtemp(prefix="chromium-")
    command = [find_chromium(), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    # The protocol reads from descriptor 3 and writes to 4; a shell puts the pipes there.
    wrapper = ["bash", "-c", f'exec "$@" 3<&{to_child} 4>&{from_child}', "bash", *command]
    process = subprocess.Popen(
        wrapper,
        pass_fds=(to_child, from_child),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(to_child)
    os.close(from_child)
    try:
        browser = Browser(process, to_browser, from_browser)
        browser.size(width, height)
        yield browser
        browser.session = None
        browser.call("Browser.close")
        process.wait(timeout=SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(to_browser)
        os.close(from_browser)
        shutil.rmtree(profile, ignore_errors=True)


def main():
    page, picture, *fragment = sys.argv[1:]
    with open_browser(1400, 860) as browser:
        browser.open(page, *fragment)
        browser.state()
        time.sleep(1)  # the chart draws itself a little later
        browser.screenshot(picture)
    from PIL import Image

    with Image.open(picture) as full:
        small = full.convert("RGB").quantize(256)
    small.save(picture, optimize=True)


if __name__ == "__main__":
    main()
