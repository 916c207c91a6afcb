"""Following one prompt of ComfyUI's to its end: the history says when it is done, the WebSocket how far it is.

What a WebSocket says is passed over unless it is about this prompt and as it should be; also one that never says that
the prompt is done, says nothing, or says a hundred thousand things a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from provision.comfyui.answers import Broken, Entry, Event, Queue
from provision.comfyui.error_explanations import execution_failure, raise_failure
from provision.command import Fix, ours
from provision.errors import EngineError
from provision.system.strict import Unreadable, decode

if TYPE_CHECKING:
    from provision.comfyui.event_stream import EventStream

SILENCE_S = 24.0
"""How long no answer may come while an image is made: a machine that swaps answers late."""
REFUSED_S = 2.0
"""How long the port may be closed before the engine is taken for dead."""
ODD_MAX = 3
"""Answers in a row that are none of ComfyUI's: a server that just ends sends such."""
LISTEN_S = 0.25
POLL_S = 0.5
POLL_TIMEOUT_S = 3.0
"""Shorter than a request's usual time-out, so that Ctrl-C is heard; a slow answer is then asked for again."""
LOOK_S = 1.0
"""How often the history is looked at whatever the WebSocket says."""
IMAGE_TIMEOUT_S = 1800.0

Graph = Mapping[str, Any]
OnProgress = Callable[[str, int, int | None], None]
"""What it does now, how many steps are done, of how many (None: not counted)."""
News = dict[str, tuple[int, int | None]]
"""What was heard of each stage last, the newest stage last."""

STAGES = {
    "CheckpointLoaderSimple": "loading the checkpoint",
    "CLIPTextEncode": "reading the prompt",
    "EmptyLatentImage": "preparing",
    "KSampler": "sampling",
    "VAEDecode": "decoding",
    "SaveImage": "saving",
    "PreviewImage": "saving",
}


class Asked(Protocol):
    """Whoever asks ComfyUI what is queued and done; `check` raises Interrupted to stop."""

    check: Callable[[], None]

    def queue(self, timeout_s: float) -> Queue:
        """What runs and waits."""

    def history(self, prompt_id: str, timeout_s: float) -> Entry | None:
        """What became of a prompt, None while it is not done."""


class Watch:
    """One prompt on its way, until its entry stands in the history."""

    def __init__(self, comfy: Asked, prompt_id: str, graph: Graph, on_progress: OnProgress, deadline: float) -> None:
        self._comfy, self._prompt_id, self._graph = comfy, prompt_id, graph
        self._on_progress, self._deadline = on_progress, deadline
        self._answered = time.monotonic()
        self._odd = 0
        """Answers in a row that were none of ComfyUI's."""
        self._stage = "waiting"

    def follow(self, events: EventStream | None) -> Entry:
        """Wait for the end; without a WebSocket the history alone is asked. Raises EngineError, Interrupted."""
        looked = time.monotonic()
        while True:
            self._check()
            if events is not None and events.open:
                over, every_s = self._hear(events), LOOK_S
            else:
                over, every_s = False, POLL_S
                time.sleep(LISTEN_S)
            if over or time.monotonic() - looked >= (POLL_S if self._odd else every_s):
                entry = self._finished()
                looked = time.monotonic()
                if entry is not None:
                    return entry

    def _hear(self, events: EventStream) -> bool:
        """Take in what the WebSocket has now; whether it says that the prompt is over.

        However much it is, each stage is told once.
        """
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
                decode(text, Broken)
                raise execution_failure(decode(text, dict[str, object])["data"])
            return True
        if kind == "executing" and told.node is not None:
            self._stage = self._stage_of(str(told.node))
            news.pop(self._stage, None)
            news[self._stage] = (0, None)
        elif kind == "progress":
            news[self._stage] = (int(told.value), int(told.max) or None)
        return kind in ("executing", "execution_success", "execution_interrupted") and told.node is None

    def _stage_of(self, node: str) -> str:
        kind = str(self._graph.get(node, {}).get("class_type", "working"))
        return STAGES.get(kind, kind)

    def _finished(self) -> Entry | None:
        """The entry in the history once it is there; an engine may be slow, not dead."""
        try:
            waiting = self._comfy.queue(POLL_TIMEOUT_S)
            entry = self._comfy.history(self._prompt_id, POLL_TIMEOUT_S)
        except EngineError as error:
            self._bear(error)
            return None
        self._answered, self._odd = time.monotonic(), 0
        if entry is None:
            # Done is moved from the queue to the history: what was in neither, asked in that order, is lost.
            if self._prompt_id not in waiting.running + waiting.pending:
                raise EngineError(
                    "ComfyUI forgot the image: it was started again, or its queue was cleared.",
                    hint=Fix("Run the same command again."),
                )
            return None
        raise_failure(entry)
        return entry

    def _bear(self, error: EngineError) -> None:
        """Have patience with an engine that is busy; none with one that is dead, or answers what is no answer."""
        silent_s = time.monotonic() - self._answered
        if isinstance(error.__cause__, ConnectionRefusedError):
            if silent_s > REFUSED_S:
                raise EngineError("ComfyUI ended while it made the image.", hint=ours("logs")) from error
        elif isinstance(error.__cause__, TimeoutError):
            if silent_s > SILENCE_S:
                raise error
        else:
            self._odd += 1
            if self._odd >= ODD_MAX:
                raise error

    def _check(self) -> None:
        self._comfy.check()
        if time.monotonic() > self._deadline:
            raise EngineError(
                f"The image was not done in time; {self._stage} was the last that was heard of.",
                hint=ours("logs"),
            )
