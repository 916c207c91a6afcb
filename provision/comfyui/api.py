"""A client of ComfyUI's HTTP API: whatever answers, a typed value or an EngineError, in time.

Written against server.py and execution.py of v0.3.64 and the changes of 0.38. ComfyUI refuses a request whose `Origin`
is not its own host, so none is sent; a proxy is not for loopback, so none is used; no redirect is followed.
"""

from __future__ import annotations

import http.client
import json
import re
import time
import uuid
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from msgspec.structs import asdict

from provision.comfyui.answers import Accepted, Ended, Entry, Module, Queue, Saved, SystemStats
from provision.comfyui.error_explanations import refusal
from provision.comfyui.error_signatures import short
from provision.comfyui.event_stream import open_events
from provision.comfyui.prompt_progress import IMAGE_TIMEOUT_S, Graph, OnProgress, Watch
from provision.command import ours
from provision.errors import EngineError, PortTaken
from provision.system.bounded_http import BoundedResponse
from provision.system.machine import LOOPBACK
from provision.system.strict import JSON_MAX_BYTES, Unreadable, decode

ANSWER_TIMEOUT_S = 8.0
"""Enough for a ComfyUI that loads a model on two cores."""
SHORTLY_S = 1.0
"""For requests while the user waits for the end."""
HANGS_UP_S = 0.2
HALVES = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
"""A surrogate in JSON: two of them make one character, and one alone is no text."""

T = TypeVar("T")


class _Response(BoundedResponse):
    """An answer that is whole within the time-out of its connection."""

    body_s = None


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        return self.status in range(200, 300)


@dataclass(frozen=True, slots=True)
class Made:
    """A finished prompt; `seconds` from submitting to the end of its execution."""

    prompt_id: str
    images: tuple[Saved, ...]
    seconds: float


class Comfy:
    """A ComfyUI on a port of this machine. `check` is called often, and raises Interrupted to stop."""

    def __init__(self, port: int, *, check: Callable[[], None]) -> None:
        self.port = port
        self.url = f"http://{LOOPBACK}:{port}"
        self.check = check

    def system_stats(self, timeout_s: float = ANSWER_TIMEOUT_S) -> SystemStats | None:
        """Which ComfyUI answers; None when nobody listens.

        Raises PortTaken when another program answers, EngineError when nothing is answered in time.
        """
        deadline = time.monotonic() + timeout_s
        with suppress(_HungUp):
            return self._read_stats(timeout_s)
        time.sleep(HANGS_UP_S)  # a server that is just ending hangs up: ask once more
        with suppress(_HungUp):
            return self._read_stats(max(HANGS_UP_S, deadline - time.monotonic()))
        raise self._stranger()

    def _read_stats(self, timeout_s: float) -> SystemStats | None:
        """Raises _HungUp too."""
        try:
            answer = self._send("GET", "/system_stats", timeout_s)
            stats = decode(answer.body, SystemStats)
        except ConnectionRefusedError:
            return None
        except TimeoutError as error:
            raise EngineError(
                f"Port {self.port} is open, but nothing answers within {timeout_s:g} s.", hint=ours("logs")
            ) from error
        except OSError as error:
            raise _HungUp from error
        except (http.client.HTTPException, Unreadable) as error:
            raise self._stranger() from error
        if not (answer.ok and stats.is_comfyui):
            raise self._stranger()
        return stats

    def _stranger(self) -> PortTaken:
        return PortTaken(
            f"Port {self.port} is used by a program that is not ComfyUI.",
            hint=ours("all", "--set", f"comfyui.port={self.port + 1}"),
        )

    def checkpoints(self) -> list[str]:
        """The names in ComfyUI's list of checkpoints. Raises EngineError."""
        return self._get("/models/checkpoints", list[str])

    def queue(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Queue:
        """The prompts that run and wait. Raises EngineError."""
        return self._get("/queue", Queue, timeout_s)

    def submit(self, graph: Graph, client_id: str, workflow: Graph | None = None, prompt_id: str = "") -> str:
        """Queue a prompt graph and return its id. The page can open `workflow` from the picture.

        `prompt_id` is a wished-for UUID; an old ComfyUI makes its own. Raises EngineError with what a refusal means.
        """
        sent: dict[str, Any] = {"prompt": graph, "client_id": client_id}
        if prompt_id:
            sent["prompt_id"] = prompt_id
        if workflow is not None:
            sent["extra_data"] = {"extra_pnginfo": {"workflow": workflow}}
        answer = self._ask("POST", "/prompt", sent=sent)
        said: dict[str, object] = {}
        with suppress(Unreadable):
            if answer.ok:
                return decode(answer.body, Accepted).prompt_id
        with suppress(Unreadable):
            said = decode(answer.body, dict[str, object])
        raise refusal(said, answer.status)

    def view(self, image: Saved, *, max_bytes: int) -> bytes:
        """The bytes of a picture. Raises EngineError, also for more than `max_bytes`."""
        answer = self._ask("GET", f"/view?{urlencode(asdict(image))}", max_bytes=max_bytes)
        if answer.ok:
            return answer.body
        raise EngineError(f"ComfyUI does not return {short(image.filename)}: HTTP {answer.status}.", hint=ours("logs"))

    def cancel(self, prompt_id: str) -> None:
        """Stop a prompt, running or waiting; no error when ComfyUI is gone."""
        with suppress(EngineError):
            self._ask("POST", "/queue", SHORTLY_S, sent={"delete": [prompt_id]})
            # An old ComfyUI ignores the id and stops whatever runs, so only a prompt that runs is stopped.
            if prompt_id in self.queue(SHORTLY_S).running:
                self._ask("POST", "/interrupt", SHORTLY_S, sent={"prompt_id": prompt_id})

    def generate(
        self,
        graph: Graph,
        *,
        on_progress: OnProgress,
        workflow: Graph | None = None,
        timeout_s: float = IMAGE_TIMEOUT_S,
    ) -> Made:
        """Run a prompt graph, following it on the WebSocket, or by polling where that fails.

        Raises EngineError (a refusal, an error while it runs, the engine's death, `timeout_s` over), and Interrupted
        after stopping the prompt.
        """
        started = time.monotonic()
        client_id, prompt_id = uuid.uuid4().hex, str(uuid.uuid4())
        events = open_events(self.port, client_id, ANSWER_TIMEOUT_S)
        try:
            prompt_id = self._begin(graph, client_id, workflow, prompt_id)
            entry = Watch(self, prompt_id, graph, on_progress, started + timeout_s).follow(events)
        except BaseException:
            self.cancel(prompt_id)
            raise
        finally:
            if events is not None:
                events.close()
        images = tuple(image for output in entry.outputs.values() for image in output.images)
        return Made(prompt_id, images, time.monotonic() - started)

    def _begin(self, graph: Graph, client_id: str, workflow: Graph | None, prompt_id: str) -> str:
        """As `submit`, where ComfyUI may die of the prompt before it answers."""
        try:
            return self.submit(graph, client_id, workflow, prompt_id)
        except EngineError as error:
            if not isinstance(error.__cause__, OSError | http.client.HTTPException):
                raise
            is_gone = False
            with suppress(EngineError, PortTaken):
                is_gone = self.system_stats(SHORTLY_S) is None
            if not is_gone:
                raise
            raise EngineError("ComfyUI exited while making the image.", hint=ours("logs")) from error

    def history(self, prompt_id: str, timeout_s: float = ANSWER_TIMEOUT_S) -> Entry | None:
        """How a prompt ended; None while it has not. Raises EngineError."""
        return self._get(f"/history/{quote(prompt_id, safe='')}", dict[str, Entry], timeout_s).get(prompt_id)

    def newest(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Ended | None:
        """The prompt that ended last; None where there is none. Raises EngineError."""
        return next(iter(self._get("/history?max_items=1", dict[str, Ended], timeout_s).values()), None)

    def node_module(self, kind: str, timeout_s: float = ANSWER_TIMEOUT_S) -> str:
        """The module of a kind of node: `nodes`, `custom_nodes.NAME`, or "". Raises EngineError."""
        about = self._get(f"/object_info/{quote(kind, safe='')}", dict[str, Module], timeout_s)
        return about[kind].python_module if kind in about else ""

    def _get(self, path: str, kind: type[T], timeout_s: float = ANSWER_TIMEOUT_S) -> T:
        """The answer on a path, as a value of `kind`. Raises EngineError."""
        answer = self._ask("GET", path, timeout_s)
        with suppress(Unreadable):
            if answer.ok:
                return _decoded(answer.body, kind)
        where = path.partition("?")[0]
        raise EngineError(
            f"ComfyUI answers {where} with HTTP {answer.status}, which is not what its API documents.",
            hint=ours("doctor", "--deep"),
        )

    def _ask(
        self,
        method: str,
        path: str,
        timeout_s: float = ANSWER_TIMEOUT_S,
        *,
        sent: Graph | None = None,
        max_bytes: int = JSON_MAX_BYTES,
    ) -> _Answer:
        """Any answer. Raises EngineError; its cause is ConnectionRefusedError where nobody listens, TimeoutError where
        nothing is answered in time."""
        who, where = f"ComfyUI on port {self.port}", path.partition("?")[0]
        try:
            return self._send(method, path, timeout_s, sent, max_bytes)
        except ConnectionRefusedError as error:
            raise EngineError(f"{who} is gone.", hint=ours("launch")) from error
        except TimeoutError as error:
            raise EngineError(f"{who} does not answer {where} within {timeout_s:g} s.", hint=ours("logs")) from error
        except Unreadable as error:
            raise EngineError(f"{who} sent too much for {where}: {error}.", hint=ours("logs")) from error
        except (OSError, http.client.HTTPException) as error:
            raise EngineError(f"{who} stopped in the middle of its answer to {where}.", hint=ours("logs")) from error

    def _send(
        self, method: str, path: str, timeout_s: float, sent: Graph | None = None, max_bytes: int = JSON_MAX_BYTES
    ) -> _Answer:
        """One request on its own connection, so that no answer runs on into the next.

        Raises OSError, HTTPException, Unreadable.
        """
        body = None if sent is None else json.dumps(sent).encode()
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "Connection": "close"}
        with closing(http.client.HTTPConnection(LOOPBACK, self.port, timeout=timeout_s)) as connection:
            connection.response_class = _Response
            connection.request(method, path, body, headers)
            with connection.getresponse() as response:
                data = response.read(max_bytes + 1)
                if len(data) > max_bytes:
                    raise Unreadable(f"more than {max_bytes:,} bytes")
                if response.length:
                    raise http.client.IncompleteRead(data, response.length)
                return _Answer(response.status, data)


def _decoded(body: bytes, kind: type[T]) -> T:
    """Decode JSON; half an emoji in somebody's prompt does not spoil the rest. Raises Unreadable."""
    try:
        return decode(body, kind)
    except Unreadable:
        if not HALVES.search(body):
            raise
        return decode(HALVES.sub(rb"\\ufffd", body), kind)


class _HungUp(Exception):
    """The connection ended before an answer."""
