"""A headless Chromium, driven by the DevTools protocol: what a person sees of a page, and clicks on it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import websocket

NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1440,900",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)
WAIT_S, POLL_S = 60.0, 0.2


def find_chromium() -> str | None:
    """The first browser that is here."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass
class Page:
    """One tab."""

    socket: websocket.WebSocket
    ids: Iterator[int] = field(default_factory=lambda: count(1))

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol. Raises AssertionError with the browser's own words."""
        number = next(self.ids)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        told = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, script: str, wait_s: float = WAIT_S) -> Any:
        """The first value of an expression that is true. Raises AssertionError after `wait_s`."""
        ends = time.monotonic() + wait_s
        while not (value := self.run(script)):
            assert time.monotonic() < ends, f"never: {script}"
            time.sleep(POLL_S)
        return value

    def shoot(self, path: Path) -> None:
        """Keep what is to be seen as a PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))

    def click(self, finder: str) -> None:
        """Press the mouse in the middle of the element that an expression finds, as a person does."""
        self.until(f"!!({finder})")
        box = self.run(
            f"(() => {{ const b = ({finder}).getBoundingClientRect(); return [b.x, b.y, b.width, b.height] }})()"
        )
        place = {"x": box[0] + box[2] / 2, "y": box[1] + box[3] / 2, "button": "left", "clickCount": 1}
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, **place)


@contextmanager
def browser(profile: Path) -> Iterator[str]:
    """A Chromium with a profile of its own; gives the address of its DevTools."""
    program = find_chromium()
    assert program is not None
    with (profile.parent / "chromium.log").open("ab") as log:
        process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stderr=log,
            stdout=log,
            start_new_session=True,
        )
    try:
        told = profile / "DevToolsActivePort"
        ends = time.monotonic() + WAIT_S
        while not (told.is_file() and told.read_text().strip()):
            assert process.poll() is None, "the browser ended"
            assert time.monotonic() < ends, "the browser does not come up"
            time.sleep(POLL_S)
        yield f"http://127.0.0.1:{told.read_text().split()[0]}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # Debian's is a script, which does not hand it on
        process.wait(20)


@contextmanager
def tab(devtools: str, address: str) -> Iterator[Page]:
    """A tab at an address."""
    target = requests.put(f"{devtools}/json/new?{address}", timeout=20).json()
    url = target["webSocketDebuggerUrl"]
    assert urlsplit(url).hostname == "127.0.0.1"
    socket = websocket.create_connection(url, timeout=WAIT_S, suppress_origin=True)
    try:
        yield Page(socket)
    finally:
        requests.get(f"{devtools}/json/close/{target['id']}", timeout=20)
        socket.close()
