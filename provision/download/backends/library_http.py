"""huggingface_hub's own HTTP client, kept within the bounds that ours has.

By itself it follows redirects to whatever it is sent to (a name and password in the address included), reads their
bodies whole, sleeps for as long as a server likes, and waits without end for a head that comes a byte at a time. So
whatever is not the file itself is taken out of its hands as soon as the head is here.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from provision.download.web import redirect_of
from provision.system.bounded_http import HEAD_S
from provision.system.proxies import proxy_for
from provision.system.tls import trusted

LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of an answer before its body."""

    status_code: int
    url: str
    headers: Mapping[str, str]


class Moved(Exception):
    """The server sends on to another address."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.target = target


class Answered(Exception):
    """The server answered with something else than the file."""

    def __init__(self, head: Head) -> None:
        super().__init__(head.status_code)
        self.head = head


@contextmanager
def bounded_client(url: str, environ: Mapping[str, str], silence_s: float) -> Iterator[Watch]:
    """Let the library's client go the way to `url` that ours go (proxy, certificates), raise Moved, Answered or
    HubRefused for all but the file, and hang up on a head that does not come, and on a body of which nothing is heard
    for `silence_s`. For one request at a time, of one thread."""
    from huggingface_hub import set_client_factory

    watch, proxy = Watch(silence_s), proxy_for(url, environ) or None
    verify = trusted(environ) if url.startswith("https:") else True
    options: dict[str, Any] = {"follow_redirects": False, "timeout": None, "trust_env": False}
    options["event_hooks"] = {"request": [watch.begin], "response": [watch.check]}
    set_client_factory(lambda: _library().Client(proxy=proxy, verify=verify, **options))
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
        # As the library's own, which has no public name.
        set_client_factory(lambda: _library().Client(follow_redirects=True, timeout=None))


def _library() -> Any:
    """The HTTP library of huggingface_hub: httpx2 since its 2.0, httpx before."""
    import importlib

    import huggingface_hub
    from packaging.version import Version

    return importlib.import_module("httpx2" if Version(huggingface_hub.__version__) >= Version("2") else "httpx")


class Watch:
    """Follows a request: when it was heard last, and hanging up when that is too long ago.

    A byte now and then, in a head or between pieces of a body, never lets a read time out.
    """

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._sockets: list[socket.socket] = []
        self._until = float("inf")
        self._over = threading.Event()

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._run, name="hf watch", daemon=True).start()

    def stop(self) -> None:
        """Nothing is waited for."""
        self._over.set()

    def begin(self, request: Any) -> None:
        """A request is about to be sent."""
        request.extensions = {**request.extensions, "trace": self._trace}
        self._until = time.monotonic() + HEAD_S

    def check(self, response: Any) -> None:
        """A head is here."""
        self.heard()
        head = Head(response.status_code, str(response.url), response.headers)
        if (target := redirect_of(head)) is not None:
            raise Moved(target)
        packed = response.headers.get("Content-Encoding", "identity").lower() not in ("identity", "gzip")
        if response.status_code not in (200, 206) or packed:
            raise Answered(head)

    def heard(self) -> None:
        """Something of the file is here."""
        self._until = time.monotonic() + self._silence_s

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._sockets.append(info["return_value"].get_extra_info("socket"))

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            if time.monotonic() > self._until:
                self._hang_up()
                return

    def _hang_up(self) -> None:
        """Wake the thread that reads."""
        for each in self._sockets:
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)
