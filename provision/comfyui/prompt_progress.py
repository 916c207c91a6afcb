"""Following a prompt to its end: the history says when it is done, the WebSocket how far it is.

Messages of the WebSocket count only where they are well-formed and about this prompt. It may be silent, never say that
the prompt is done, or send a hundred thousand messages a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from provision.comfyui.answers import Broken, Entry, Event
from provision.comfyui.error_explanations import execution_failure, raise_failure
from provision.command import Fix, ours
from provision.errors import EngineError
from provision.system.strict import Unreadable, decode

if TYPE_CHECKING:
    from provision.comfyui.api import Comfy
    from provision.comfyui.event_stream import EventStream

SILENCE_S = 24.0
"""How long ComfyUI may be silent while it makes an image: a machine that swaps answers late."""
REFUSED_S = 2.0
"""How long the port may be closed before ComfyUI counts as dead."""
ODD_MAX = 3
"""How many wrong answers in a row are accepted: a server that is just ending sends some."""
LISTEN_S = 0.25
POLL_S = 0.5
POLL_TIMEOUT_S = 3.0
"""Shorter than a request's usual time-out, so that Ctrl-C is heard; the request is then repeated."""
LOOK_S = 1.0
"""How often the history is read, whatever the WebSocket says."""
IMAGE_TIMEOUT_S = 1800.0

Graph = Mapping[str, Any]
OnProgress = Callable[[str, int, int | None], None]
"""The current stage, the steps done, and of how many (None: not counted)."""
News = dict[str, tuple[int, int | None]]
"""The last progress of each stage, the newest stage last."""

STAGES = {
    "CheckpointLoaderSimple": "loading the checkpoint",
    "CLIPTextEncode": "reading the prompt",
    "EmptyLatentImage": "preparing",
    "KSampler": "sampling",
    "VAEDecode": "decoding",
    "SaveImage": "saving",
    "PreviewImage": "saving",
}


class Watch:
    """A prompt, until its entry is in the history."""

    def __init__(self, comfy: Comfy, prompt_id: str, graph: Graph, on_progress: OnProgress, deadline: float) -> None:
        self._comfy, self._prompt_id, self._graph = comfy, prompt_id, graph
        self._on_progress, self._deadline = on_progress, deadline
        self._answered = time.monotonic()
        self._odd = 0
        """Wrong answers in a row."""
        self._stage = "waiting"

    def follow(self, events: EventStream | None) -> Entry:
        """Wait for the end; without a WebSocket by the history alone. Raises EngineError, Interrupted."""
        looked = time.monotonic()
        while True:
            self._comfy.check()
            if time.monotonic() > self._deadline:
                raise EngineError(f"The image took too long; the last stage was: {self._stage}.", hint=ours("logs"))
            over, every_s = False, POLL_S
            if events is not None and events.open:
                over, every_s = self._hear(events), LOOK_S
            else:
                time.sleep(LISTEN_S)
            if over or time.monotonic() - looked >= (POLL_S if self._odd else every_s):
                entry = self._finished()
                looked = time.monotonic()
                if entry is not None:
                    return entry

    def _hear(self, events: EventStream) -> bool:
        """Read the WebSocket and report each stage once; whether it says that the prompt is over."""
        ours, news, over = self._prompt_id.encode(), News(), False
        for text in events.texts(LISTEN_S):
            if ours in text:
                over = self._take(text, news) or over
        for stage, (done, total) in news.items():
            self._on_progress(stage, done, total)
        return over

    def _take(self, text: bytes, news: News) -> bool:
        try:
            event = decode(text, Event)
        except Unreadable:  # a custom node's, of a kind of its own
            return False
        kind, told = event.type, event.data
        if told.prompt_id != self._prompt_id:
            return False
        if kind == "execution_error":
            with suppress(Unreadable):  # else the history says it
                raise execution_failure(decode(text, Broken).data)
            return True
        if kind == "executing" and told.node is not None:
            node = str(self._graph.get(str(told.node), {}).get("class_type", "working"))
            self._stage = STAGES.get(node, node)
            news.pop(self._stage, None)
            news[self._stage] = (0, None)
        elif kind == "progress":
            news[self._stage] = (int(told.value), int(told.max) or None)
        return kind in ("executing", "execution_success", "execution_interrupted") and told.node is None

    def _finished(self) -> Entry | None:
        """The entry in the history, once it is there. Raises EngineError."""
        try:
            waiting = self._comfy.queue(POLL_TIMEOUT_S)
            entry = self._comfy.history(self._prompt_id, POLL_TIMEOUT_S)
        except EngineError as error:
            self._bear(error)
            return None
        self._answered, self._odd = time.monotonic(), 0
        if entry is None:
            # A prompt moves from the queue to the history: in neither, asked in that order, it is lost.
            if self._prompt_id not in waiting.running + waiting.pending:
                raise EngineError(
                    "ComfyUI lost the image: it was restarted, or its queue was cleared.",
                    hint=Fix("Run the same command again."),
                )
            return None
        raise_failure(entry)
        return entry

    def _bear(self, error: EngineError) -> None:
        """Tolerate a busy ComfyUI. Raises `error` for a dead one, and for one that goes on answering wrong."""
        silent_s = time.monotonic() - self._answered
        if isinstance(error.__cause__, ConnectionRefusedError):
            if silent_s > REFUSED_S:
                raise EngineError("ComfyUI exited while making the image.", hint=ours("logs")) from error
        elif isinstance(error.__cause__, TimeoutError):
            if silent_s > SILENCE_S:
                raise error
        else:
            self._odd += 1
            if self._odd >= ODD_MAX:
                raise error
