"""ComfyUI's HTTP API as a client: whatever answers, a value of the type that was promised or an EngineError, in time.

Written against server.py and execution.py of v0.3.64 and what 0.38 changed. ComfyUI refuses a request whose
`Origin` is not its own host, so none is sent; the environment's proxy is not for loopback, so none is used; no
redirect is followed.
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
"""A ComfyUI that loads a model on two cores answers slowly; longer than this it does not answer."""
SHORTLY_S = 1.0
"""For what is asked while a person waits for the end."""
HANGS_UP_S = 0.2
HALVES = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
"""Of a character beyond the first 65,536 in JSON: two make one, and one alone is no text."""

T = TypeVar("T")


class _Response(BoundedResponse):
    """An answer that is there, whole, within the time-out of its connection."""

    body_s = None


@dataclass(frozen=True, slots=True)
class _Answer:
    """What was answered, whatever it is."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether it is an answer to what was asked, and no redirect."""
        return self.status in range(200, 300)


@dataclass(frozen=True, slots=True)
class Made:
    """A prompt that was carried out; `seconds` from submitting to the end of its execution."""

    prompt_id: str
    images: tuple[Saved, ...]
    seconds: float


class Comfy:
    """A ComfyUI on a port of this machine. `check` is called often and raises Interrupted to stop."""

    def __init__(self, port: int, *, check: Callable[[], None]) -> None:
        self.port = port
        self.url = f"http://{LOOPBACK}:{port}"
        self.check = check

    def system_stats(self, timeout_s: float = ANSWER_TIMEOUT_S) -> SystemStats | None:
        """Who answers; None when nobody listens.

        Raises PortTaken when what answers is not ComfyUI, EngineError when it does not answer in time.
        """
        deadline = time.monotonic() + timeout_s
        with suppress(_HungUp):
            return self._read_stats(timeout_s)
        time.sleep(HANGS_UP_S)  # who hangs up may be a server that just ends: look once more
        with suppress(_HungUp):
            return self._read_stats(max(HANGS_UP_S, deadline - time.monotonic()))
        raise self._stranger()

    def _read_stats(self, timeout_s: float) -> SystemStats | None:
        """Raises _HungUp too."""
        try:
            answer = self._send("GET", "/system_stats", timeout_s)
            stats = decode(answer.body, SystemStats) if answer.ok else None
        except ConnectionRefusedError:
            return None
        except TimeoutError as error:
            raise EngineError(
                f"Port {self.port} is open, and nothing answers there within {timeout_s:g} s.",
                hint=ours("logs"),
            ) from error
        except OSError as error:
            raise _HungUp from error
        except (http.client.HTTPException, Unreadable):
            stats = None
        if stats is None or not stats.is_comfyui:
            raise self._stranger()
        return stats

    def _stranger(self) -> PortTaken:
        return PortTaken(
            f"Port {self.port} is answered by a program that is not ComfyUI.",
            hint=ours("all", "--set", f"comfyui.port={self.port + 1}"),
        )

    def checkpoints(self) -> list[str]:
        """The names in ComfyUI's list of checkpoints. Raises EngineError."""
        return self._get("/models/checkpoints", list[str])

    def queue(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Queue:
        """What runs and what waits. Raises EngineError."""
        return self._get("/queue", Queue, timeout_s)

    def submit(self, graph: Graph, client_id: str, workflow: Graph | None = None, prompt_id: str = "") -> str:
        """Queue a prompt graph; returns its id. The picture carries `workflow`, which the page can open.

        `prompt_id` is a UUID that is wished for; an old ComfyUI takes its own.
        Raises EngineError with what a refusal means.
        """
        sent: dict[str, Any] = {"prompt": graph, "client_id": client_id}
        if prompt_id:
            sent["prompt_id"] = prompt_id
        if workflow is not None:
            sent["extra_data"] = {"extra_pnginfo": {"workflow": workflow}}
        answer = self._ask("POST", "/prompt", sent=sent)
        if answer.ok:
            with suppress(Unreadable):
                return decode(answer.body, Accepted).prompt_id
        said: dict[str, object] = {}
        with suppress(Unreadable):
            said = decode(answer.body, dict[str, object])
        raise refusal(said, answer.status)

    def view(self, image: Saved, *, max_bytes: int) -> bytes:
        """The bytes of a picture. Raises EngineError, also for more than `max_bytes`."""
        names = {"filename": image.filename, "subfolder": image.subfolder, "type": image.type}
        answer = self._ask("GET", f"/view?{urlencode(names)}", max_bytes=max_bytes)
        if not answer.ok:
            raise EngineError(
                f"ComfyUI does not give {short(image.filename)}: HTTP {answer.status}.", hint=ours("logs")
            )
        return answer.body

    def cancel(self, prompt_id: str) -> None:
        """Stop a prompt, running or waiting; says nothing when ComfyUI is gone."""
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
        """Carry out a prompt graph, following it on the WebSocket, or by asking when that fails.

        Raises EngineError (a refusal, an error while it runs, the engine's death, `timeout_s` over);
        Interrupted, after the prompt was stopped.
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
        """As `submit`, where an engine may die of the prompt before it has answered."""
        try:
            return self.submit(graph, client_id, workflow, prompt_id)
        except EngineError as error:
            is_gone = False
            with suppress(EngineError, PortTaken):
                is_broken_off = isinstance(error.__cause__, OSError | http.client.HTTPException)
                is_gone = is_broken_off and self.system_stats(SHORTLY_S) is None
            if is_gone:
                raise EngineError("ComfyUI ended while it made the image.", hint=ours("logs")) from error
            raise

    def history(self, prompt_id: str, timeout_s: float = ANSWER_TIMEOUT_S) -> Entry | None:
        """What became of a prompt, None while it is not done. Raises EngineError."""
        return self._get(f"/history/{quote(prompt_id, safe='')}", dict[str, Entry], timeout_s).get(prompt_id)

    def newest(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Ended | None:
        """The prompt that ended last, as the history has it; None where it has none. Raises EngineError."""
        return next(iter(self._get("/history?max_items=1", dict[str, Ended], timeout_s).values()), None)

    def node_module(self, kind: str, timeout_s: float = ANSWER_TIMEOUT_S) -> str:
        """Where a kind of node comes from: `nodes`, `custom_nodes.NAME`, or "". Raises EngineError."""
        about = self._get(f"/object_info/{quote(kind, safe='')}", dict[str, Module], timeout_s)
        return about[kind].python_module if kind in about else ""

    def _get(self, path: str, kind: type[T], timeout_s: float = ANSWER_TIMEOUT_S) -> T:
        """What ComfyUI answers on a path, as a value of `kind`. Raises EngineError."""
        answer = self._ask("GET", path, timeout_s)
        try:
            if answer.ok:
                return _decoded(answer.body, kind)
            why: Unreadable | None = None
        except Unreadable as error:
            why = error
        where = path.partition("?")[0]
        raise EngineError(
            f"ComfyUI answers {where} with HTTP {answer.status} and not with what its API promises.",
            hint=ours("doctor", "--deep"),
        ) from why

    def _ask(
        self,
        method: str,
        path: str,
        timeout_s: float = ANSWER_TIMEOUT_S,
        *,
        sent: Graph | None = None,
        max_bytes: int = JSON_MAX_BYTES,
    ) -> _Answer:
        """Whatever is answered. Raises EngineError; its cause is ConnectionRefusedError where nobody listens, and
        TimeoutError where nothing is answered in time."""
        who, where = f"ComfyUI on port {self.port}", path.partition("?")[0]
        try:
            return self._send(method, path, timeout_s, sent, max_bytes)
        except ConnectionRefusedError as error:
            raise EngineError(f"{who} is not there any more.", hint=ours("launch")) from error
        except TimeoutError as error:
            raise EngineError(f"{who} does not answer {where} within {timeout_s:g} s.", hint=ours("logs")) from error
        except Unreadable as error:
            raise EngineError(f"{who} sends too much for {where}: {error}.", hint=ours("logs")) from error
        except (OSError, http.client.HTTPException) as error:
            raise EngineError(f"{who} breaks off its answer to {where}.", hint=ours("logs")) from error

    def _send(
        self, method: str, path: str, timeout_s: float, sent: Graph | None = None, max_bytes: int = JSON_MAX_BYTES
    ) -> _Answer:
        """One request on a connection of its own, so that no answer can run on into the next.

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
    """Raises Unreadable. Half a character, as a cut emoji is, in somebody's prompt does not spoil the rest."""
    try:
        return decode(body, kind)
    except Unreadable:
        if not HALVES.search(body):
            raise
        return decode(HALVES.sub(rb"\\ufffd", body), kind)


class _HungUp(Exception):
    """The connection ended before there was an answer."""
