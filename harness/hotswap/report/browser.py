"""Chromium without a window, driven over a pipe (DevTools protocol): to test reports, measure and picture them."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hotswap.deadline import Deadline
from hotswap.errors import LabFault

CHROMIUM = Path("/usr/bin/chromium")
"""Debian's. `HOTSWAP_CHROMIUM` names another."""
_ARGUMENTS = (
    "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--force-color-profile=srgb", "--font-render-hinting=none",
)  # fmt: skip
# Chromium takes its commands from descriptor 3 and answers on 4.
_START = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(name), fcntl.F_DUPFD, 10) for name in sys.argv[1:3]]
for number, pipe in enumerate(pipes, 3):
    os.dup2(pipe, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


class PageError(AssertionError):
    """A script of the page threw, or the page said something on the console that it should not have."""


class Browser:
    """One Chromium with one page. Leaves no process and no file behind when it is closed."""

    def __init__(self, width: int = 1280, height: int = 900) -> None:
        program = Path(os.environ.get("HOTSWAP_CHROMIUM") or CHROMIUM)
        if not program.exists():
            raise LabFault(f"no browser at {program}: install the package chromium (ci/setup does)")
        self._folder = Path(tempfile.mkdtemp(prefix="hotswap-chromium-"))
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        start = [sys.executable, "-c", _START, str(to_browser), str(from_browser), str(program)]
        self._process = subprocess.Popen(
            [
                *start,
                *_ARGUMENTS,
                f"--window-size={width},{height}",
                f"--user-data-dir={self._folder / 'profile'}",
                "about:blank",
            ],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "HOME": str(self._folder), "TMPDIR": str(self._folder)},
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        try:
            self._attach()
            self.size(width, height)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and all of its processes."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for descriptor in (self._read, self._write):
            os.close(descriptor)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _attach(self) -> None:
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(item["targetId"] for item in targets if item["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, *, seconds: float = 60.0, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; what happens meanwhile is kept for `complaints` and `wait_for_event`."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        try:
            _write_all(self._write, json.dumps(message).encode() + b"\0")
        except BrokenPipeError as error:
            raise LabFault(f"{method}: Chromium ended") from error
        deadline = Deadline.after(seconds)
        while True:
            answer = self._message(deadline, method)
            if answer.get("id") != self._number:
                self._events.append(answer)
            elif "error" in answer:
                raise LabFault(f"{method} in Chromium: {answer['error'].get('message')}")
            else:
                result: dict[str, Any] = answer["result"]
                return result

    def _message(self, deadline: Deadline, what: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline.remaining))
            data = os.read(self._read, 1 << 20) if ready else b""
            if not data:
                raise LabFault(f"{what}: Chromium {'ended' if ready else 'did not answer in time'}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def size(self, width: int, height: int, scale: float = 1) -> None:
        """The size of the page's window in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )

    def media(self, kind: str = "", **features: str) -> None:
        """CSS media type and features, such as `prefers_color_scheme="dark"`."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", media=kind, features=wanted)

    def open(self, page: Path | str, *, seconds: float = 60.0) -> None:
        """Load a file or an address and wait until it has loaded."""
        self._events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri() if isinstance(page, Path) else page)
        self.wait_for_event("Page.loadEventFired", seconds=seconds)

    def wait_for_event(self, method: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """The first event of this name since the page was opened."""
        deadline = Deadline.after(seconds)
        while True:
            for event in self._events:
                if event.get("method") == method:
                    return event
            self._events.append(self._message(deadline, f"waiting for {method}"))

    def evaluate(self, expression: str, *, seconds: float = 60.0) -> Any:
        """The value of a JavaScript expression; a promise is awaited. PageError when it throws."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, seconds=seconds
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description") or details.get("text"))
        return answer["result"].get("value")

    def wait_until(self, condition: str, *, seconds: float = 20.0) -> None:
        """Until a JavaScript expression is true; looked at once a frame, in the page."""
        script = (
            f"new Promise((done, failed) => {{ const until = performance.now() + {seconds * 1000};"
            f" const look = () => ({condition}) ? done(true) : performance.now() > until"
            f" ? failed(new Error('not within {seconds:g} s: ' + {json.dumps(condition)}))"
            " : setTimeout(look, 15); look(); })"
        )
        self.evaluate(script, seconds=seconds + 10)

    def complaints(self) -> list[str]:
        """Errors and warnings on the console, uncaught exceptions, and requests for anything but the page itself."""
        self.evaluate("0")
        found: list[str] = []
        for event in self._events:
            method, told = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                details = told["exceptionDetails"]
                found.append(details.get("exception", {}).get("description") or details["text"])
            elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
                found.append(" ".join(str(item.get("value", item.get("description"))) for item in told["args"]))
            elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
                found.append(told["entry"]["text"])
            elif method == "Network.requestWillBeSent" and not told["request"]["url"].startswith(
                ("file:", "data:", "blob:")
            ):
                found.append(f"asked for {told['request']['url']}")
        return found

    def screenshot(self, path: Path, *, whole: bool = False, clip: Mapping[str, float] | None = None) -> Path:
        """A PNG of what is seen, of the whole page, or of a part of it (x, y, width, height in CSS pixels)."""
        more: dict[str, Any] = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"]}
        if clip is not None:
            more = {"clip": {**clip, "scale": 1}, "captureBeyondViewport": True}
        answer = self.call("Page.captureScreenshot", format="png", **more)
        path.write_bytes(base64.b64decode(answer["data"]))
        return path

    def pdf(self, path: Path) -> Path:
        """The page as it is printed."""
        answer = self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        path.write_bytes(base64.b64decode(answer["data"]))
        return path

    def key(self, *keys: str) -> None:
        """Press and release keys, by the names of KeyboardEvent.key."""
        for key in keys:
            told: dict[str, Any] = {"key": key, "code": _CODES.get(key, key)}
            if len(key) == 1:
                told["text"] = key
            self.call("Input.dispatchKeyEvent", type="keyDown", **told)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=told["code"])

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """One event of the mouse: `mouseMoved`, `mousePressed`, `mouseReleased` or `mouseWheel`."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x: float, y: float) -> None:
        """Press and release the left button."""
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, button="left", clickCount=1)
        self.mouse("mouseReleased", x, y, button="left", clickCount=1)


_CODES = {"+": "Equal", "-": "Minus", "[": "BracketLeft", "]": "BracketRight", "0": "Digit0"}


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
