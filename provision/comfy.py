"""ComfyUI's HTTP and WebSocket API as a client.

Written against server.py and execution.py of v0.3.64 and what 0.38 changed. ComfyUI refuses a request whose
`Origin` is not its own host, so none is sent; the environment's proxy is not for loopback, so none is used.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from provision.errors import EngineError, PortTaken
from provision.explain import execution_failure, raise_failure, refusal
from provision.machine import LOOPBACK

if TYPE_CHECKING:
    import requests
    import websocket

ANSWER_TIMEOUT_S = 8.0
"""A ComfyUI that loads a model on two cores answers slowly; longer than this it does not answer."""
SILENCE_S = 120.0
"""How long nobody may answer at all while an image is made."""
REFUSED_S = 2.0
"""How long the port may be closed before the engine is taken for dead."""
HANGS_UP_S = 0.2
LISTEN_S = 0.25
POLL_S = 0.5
POLL_TIMEOUT_S = 3.0
"""Shorter than `ANSWER_TIMEOUT_S`, so that Ctrl-C is heard; a slow answer is then asked for again."""
QUIET_S = 10.0
"""How long the WebSocket may be silent before the history is looked at."""
IMAGE_TIMEOUT_S = 1800.0

Graph = Mapping[str, Any]
OnProgress = Callable[[str, int, int | None], None]
"""What it does now, how many steps are done, of how many (None: not counted)."""

STAGES = {
    "CheckpointLoaderSimple": "loading the checkpoint",
    "CLIPTextEncode": "reading the prompt",
    "EmptyLatentImage": "preparing",
    "KSampler": "sampling",
    "VAEDecode": "decoding",
    "SaveImage": "saving",
    "PreviewImage": "saving",
}


@dataclass(frozen=True, slots=True)
class SystemStats:
    """Who answers on `/system_stats`; `argv` is ComfyUI's own `sys.argv`, main.py first."""

    version: str
    python: str
    torch: str
    argv: tuple[str, ...]
    device: str
    """`mps`, `cuda` or `cpu`."""
    device_name: str


@dataclass(frozen=True, slots=True)
class Queue:
    """Prompt ids that run and that wait."""

    running: tuple[str, ...]
    pending: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A picture as `/view` knows it."""

    filename: str
    subfolder: str = ""
    type: str = "output"


@dataclass(frozen=True, slots=True)
class Made:
    """A prompt that was carried out; `seconds` from submitting to the end of its execution."""

    prompt_id: str
    images: tuple[ImageRef, ...]
    seconds: float


class Comfy:
    """A ComfyUI on a port of this machine. `check` is called often and raises Interrupted to stop."""

    def __init__(self, port: int, *, check: Callable[[], None]) -> None:
        import requests

        self.port = port
        self.url = f"http://{LOOPBACK}:{port}"
        self.check = check
        self._http = requests.Session()
        self._http.trust_env = False

    def system_stats(self, timeout_s: float = ANSWER_TIMEOUT_S) -> SystemStats | None:
        """Who answers; None when nobody listens.

        Raises PortTaken when what answers is not ComfyUI, EngineError when it does not answer in time.
        """
        import requests

        with suppress(requests.ConnectionError):
            return self._read_stats(timeout_s)
        time.sleep(HANGS_UP_S)  # who hangs up may be a server that just ends: look once more
        with suppress(requests.ConnectionError):
            return self._read_stats(timeout_s)
        raise self._stranger()

    def _read_stats(self, timeout_s: float) -> SystemStats | None:
        import requests

        try:
            response = self._http.get(f"{self.url}/system_stats", timeout=timeout_s, allow_redirects=False)
            stats = _parse_stats(response.json()) if response.ok else None
        except requests.Timeout as error:
            raise EngineError(
                f"Port {self.port} is open, and nothing answers there within {timeout_s:g} s.",
                hint="provision logs",
            ) from error
        except requests.ConnectionError as error:
            if _refused(error):
                return None
            raise
        except (requests.RequestException, ValueError):
            stats = None
        if stats is None:
            raise self._stranger()
        return stats

    def _stranger(self) -> PortTaken:
        return PortTaken(
            f"Port {self.port} is answered by a program that is not ComfyUI.",
            hint=f"provision all --set comfyui.port={self.port + 1}",
        )

    def checkpoints(self) -> list[str]:
        """The names in ComfyUI's list of checkpoints. Raises EngineError."""
        return [str(name) for name in self._json("/models/checkpoints")]

    def queue(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Queue:
        """What runs and what waits. Raises EngineError."""
        body = self._json("/queue", timeout_s)
        running, pending = (
            tuple(str(item[1]) for item in body.get(name, ())) for name in ("queue_running", "queue_pending")
        )
        return Queue(running, pending)

    def submit(self, graph: Graph, client_id: str, workflow: Graph | None = None) -> str:
        """Queue a prompt graph; returns its id. The picture carries `workflow`, which the page can open.

        Raises EngineError with what a refusal means.
        """
        body = {"prompt": graph, "client_id": client_id}
        if workflow is not None:
            body["extra_data"] = {"extra_pnginfo": {"workflow": workflow}}
        response = self._request("POST", "/prompt", json=body)
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not response.ok or not isinstance(answer, dict) or "prompt_id" not in answer:
            raise refusal(answer, response.status_code)
        return str(answer["prompt_id"])

    def view(self, filename: str, subfolder: str = "", type: str = "output") -> bytes:
        """The bytes of a picture. Raises EngineError."""
        response = self._request("GET", "/view", params={"filename": filename, "subfolder": subfolder, "type": type})
        if not response.ok:
            raise EngineError(f"ComfyUI does not give {filename}: HTTP {response.status_code}.", hint="provision logs")
        return response.content

    def cancel(self, prompt_id: str) -> None:
        """Stop a prompt, running or waiting; says nothing when ComfyUI is gone."""
        with suppress(EngineError):
            self._request("POST", "/queue", json={"delete": [prompt_id]}, timeout_s=1)
            # An old ComfyUI ignores the id and stops whatever runs, so only a prompt that runs is stopped.
            if prompt_id in self.queue().running:
                self._request("POST", "/interrupt", json={"prompt_id": prompt_id}, timeout_s=1)

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
        client_id = uuid.uuid4().hex
        socket = self._connect(client_id)
        prompt_id = self.submit(graph, client_id, workflow)
        watch = _Watch(self, prompt_id, graph, on_progress, started + timeout_s)
        try:
            entry = None
            if socket is not None:
                with closing(socket):
                    entry = watch.listen(socket)
            entry = entry or watch.poll()
        except BaseException:
            self.cancel(prompt_id)
            raise
        return Made(prompt_id, _images(entry), time.monotonic() - started)

    def history(self, prompt_id: str, timeout_s: float = ANSWER_TIMEOUT_S) -> Mapping[str, Any] | None:
        """What became of a prompt, None while it is not done. Raises EngineError."""
        entry = self._json(f"/history/{prompt_id}", timeout_s).get(prompt_id)
        return entry if isinstance(entry, dict) else None

    def newest(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Mapping[str, Any] | None:
        """The prompt that ended last, as the history has it; None where it has none. Raises EngineError."""
        return next(iter(self._json("/history?max_items=1", timeout_s).values()), None)

    def node_module(self, kind: str, timeout_s: float = ANSWER_TIMEOUT_S) -> str:
        """Where a kind of node comes from: `nodes`, `custom_nodes.NAME`, or "". Raises EngineError."""
        about = self._json(f"/object_info/{quote(kind, safe='')}", timeout_s)
        return str((about.get(kind) or {}).get("python_module", ""))

    def _connect(self, client_id: str) -> websocket.WebSocket | None:
        import socket

        import websocket

        try:
            # Our own connection: websocket-client asks the environment's proxy otherwise, also for loopback.
            direct = socket.create_connection((LOOPBACK, self.port), ANSWER_TIMEOUT_S)
            return websocket.create_connection(
                f"ws://{LOOPBACK}:{self.port}/ws?clientId={client_id}",
                timeout=ANSWER_TIMEOUT_S,
                suppress_origin=True,
                socket=direct,
            )
        except (websocket.WebSocketException, OSError):
            return None

    def _json(self, path: str, timeout_s: float = ANSWER_TIMEOUT_S) -> Any:
        response = self._request("GET", path, timeout_s=timeout_s)
        with suppress(ValueError):
            if response.ok:
                return response.json()
        raise EngineError(
            f"ComfyUI answers {path} with HTTP {response.status_code} and not with what its API promises.",
            hint="provision doctor --deep",
        )

    def _request(
        self, method: str, path: str, *, timeout_s: float = ANSWER_TIMEOUT_S, **sent: Any
    ) -> requests.Response:
        import requests

        who = f"ComfyUI on port {self.port}"
        try:
            return self._http.request(method, f"{self.url}{path}", timeout=timeout_s, **sent)
        except requests.ConnectionError as error:
            raise EngineError(f"{who} is not there any more.", hint="provision launch") from error
        except requests.RequestException as error:
            raise EngineError(f"{who} does not answer {path}: {error}", hint="provision logs") from error


class _Watch:
    """One prompt on its way, until its entry stands in the history."""

    def __init__(self, comfy: Comfy, prompt_id: str, graph: Graph, on_progress: OnProgress, deadline: float) -> None:
        self._comfy, self._prompt_id, self._graph = comfy, prompt_id, graph
        self._on_progress, self._deadline = on_progress, deadline
        self._heard = time.monotonic()
        self._stage = "waiting"

    def listen(self, socket: websocket.WebSocket) -> Mapping[str, Any] | None:
        """Follow the WebSocket to the end of the prompt; None when the socket died before."""
        import websocket

        socket.settimeout(LISTEN_S)
        while True:
            self._check()
            try:
                frame = socket.recv()
            except websocket.WebSocketTimeoutException:
                if time.monotonic() - self._heard < QUIET_S:
                    continue
                frame = '{"type": "silence"}'
            except (websocket.WebSocketException, OSError):
                return None
            if frame == "":
                return None
            if isinstance(frame, str) and self._told(json.loads(frame)):
                entry = self._finished()
                if entry is not None:
                    return entry

    def poll(self) -> Mapping[str, Any]:
        """Ask until the prompt is done."""
        self._heard = time.monotonic()
        while True:
            self._check()
            entry = self._finished()
            if entry is not None:
                return entry
            time.sleep(POLL_S)

    def _told(self, message: Mapping[str, Any]) -> bool:
        """Take in one message; whether it is time to look into the history."""
        kind, data = message.get("type"), message.get("data") or {}
        if kind == "silence":
            return True
        self._heard = time.monotonic()
        if data.get("prompt_id") != self._prompt_id:
            return False
        if kind == "execution_error":
            raise execution_failure(data)
        if kind == "executing" and data.get("node") is not None:
            self._stage = self._stage_of(data["node"])
            self._on_progress(self._stage, 0, None)
        elif kind == "progress":
            self._on_progress(self._stage, int(data.get("value", 0)), int(data.get("max", 0)) or None)
        return kind in ("executing", "execution_success", "execution_interrupted") and data.get("node") is None

    def _stage_of(self, node: object) -> str:
        kind = str(self._graph.get(str(node), {}).get("class_type", "working"))
        return STAGES.get(kind, kind)

    def _finished(self) -> Mapping[str, Any] | None:
        """The entry in the history once it is there; an engine may be slow, not dead."""
        try:
            waiting = self._comfy.queue(POLL_TIMEOUT_S)
            entry = self._comfy.history(self._prompt_id, POLL_TIMEOUT_S)
        except EngineError as error:
            silent_s = time.monotonic() - self._heard
            if _refused(error.__cause__) and silent_s > REFUSED_S:
                raise EngineError("ComfyUI ended while it made the image.", hint="provision logs") from error
            if silent_s > SILENCE_S:
                raise
            return None
        self._heard = time.monotonic()
        if entry is None:
            # Done is moved from the queue to the history: what was in neither, asked in that order, is lost.
            if self._prompt_id not in waiting.running + waiting.pending:
                raise EngineError(
                    "ComfyUI forgot the image: it was started again, or its queue was cleared.",
                    hint="Run the same command again.",
                )
            return None
        raise_failure(entry)
        return entry

    def _check(self) -> None:
        self._comfy.check()
        if time.monotonic() > self._deadline:
            raise EngineError(
                f"The image was not done in time; {self._stage} was the last that was heard of.",
                hint="provision logs",
            )


def _refused(error: BaseException | None) -> bool:
    """Whether a requests.ConnectionError says that nobody listens."""
    from urllib3.exceptions import NewConnectionError

    inner = error.args[0] if error is not None and error.args else None
    return isinstance(getattr(inner, "reason", None), NewConnectionError)


def _parse_stats(body: Any) -> SystemStats | None:
    if not isinstance(body, dict) or not isinstance(body.get("system"), dict) or "devices" not in body:
        return None
    system, devices = body["system"], body["devices"] or [{}]
    if "comfyui_version" not in system and "argv" not in system:
        return None
    return SystemStats(
        version=str(system.get("comfyui_version", "")),
        python=str(system.get("python_version", "")).split(" ")[0],
        torch=str(system.get("pytorch_version", "")),
        argv=tuple(str(word) for word in system.get("argv", ())),
        device=str(devices[0].get("type", "")),
        device_name=str(devices[0].get("name", "")),
    )


def _images(entry: Mapping[str, Any]) -> tuple[ImageRef, ...]:
    return tuple(
        ImageRef(image["filename"], image.get("subfolder", ""), image.get("type", "output"))
        for output in entry.get("outputs", {}).values()
        for image in output.get("images", ())
    )
