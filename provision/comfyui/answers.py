"""ComfyUI's answers as types, by the fields that are read here; anything else is Unreadable (`strict`).

Written against server.py and execution.py of v0.3.64 and the changes of 0.38.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Word = Annotated[str, Meta(max_length=4096)]
Steps = Annotated[float, Meta(ge=0, le=1_000_000)]


class Device(Struct, frozen=True):
    """One device of `/system_stats`."""

    type: Word = ""


class System(Struct, frozen=True):
    """The program that answers `/system_stats`."""

    comfyui_version: Word | None = None
    pytorch_version: Word | None = None
    argv: list[Word] | None = None


class SystemStats(Struct, frozen=True):
    """`/system_stats`: which ComfyUI answers."""

    system: System
    devices: list[Device]

    @property
    def is_comfyui(self) -> bool:
        """Whether it says that it is ComfyUI."""
        return self.system.comfyui_version is not None or self.system.argv is not None

    @property
    def version(self) -> str:
        """ComfyUI's version; empty where an old one does not tell."""
        return self.system.comfyui_version or ""

    @property
    def torch(self) -> str:
        """torch's version."""
        return self.system.pytorch_version or ""

    @property
    def argv(self) -> tuple[str, ...]:
        """ComfyUI's own `sys.argv`, main.py first."""
        return tuple(self.system.argv or ())

    @property
    def device(self) -> str:
        """`mps`, `cuda` or `cpu`."""
        return self.devices[0].type if self.devices else ""


class Queued(Struct, frozen=True, array_like=True):
    """A prompt in `/queue`: its number, its id, and more."""

    number: float
    prompt_id: Word


class Queue(Struct, frozen=True):
    """`/queue`."""

    queue_running: list[Queued]
    queue_pending: list[Queued]

    @property
    def running(self) -> tuple[str, ...]:
        """Ids of the prompts that run."""
        return tuple(prompt.prompt_id for prompt in self.queue_running)

    @property
    def pending(self) -> tuple[str, ...]:
        """Ids of the prompts that wait."""
        return tuple(prompt.prompt_id for prompt in self.queue_pending)


class Accepted(Struct, frozen=True):
    """`/prompt`, when it took the graph."""

    prompt_id: Annotated[str, Meta(min_length=1, max_length=200)]


class Saved(Struct, frozen=True):
    """A picture that a node saved, as `/view` knows it."""

    filename: Word
    subfolder: Word = ""
    type: Word = "output"


class Output(Struct, frozen=True):
    """What a node put out."""

    images: list[Saved] = []


class Message(Struct, frozen=True, array_like=True):
    """One message of a prompt's status, as it went over the WebSocket."""

    kind: Word
    data: object = None


class Status(Struct, frozen=True):
    """How a prompt ended."""

    status_str: Word = ""
    messages: list[Message] = []


class Ended(Struct, frozen=True):
    """A prompt of anybody in `/history`."""

    status: Status | None = None


class Entry(Ended, frozen=True):
    """A prompt of ours in `/history`."""

    outputs: dict[str, Output] = {}


class Module(Struct, frozen=True):
    """A kind of node in `/object_info`."""

    python_module: Word = ""


class Failed(Struct, frozen=True):
    """The data of `execution_error`."""

    node_id: Word | int | None = None
    node_type: Word = ""
    exception_type: Word = "an error"
    exception_message: str = ""
    traceback: list[str] | None = None
    timestamp: float | None = None
    """Milliseconds since 1970."""


class Broken(Struct, frozen=True):
    """`execution_error` as a message of the WebSocket."""

    data: Failed


class About(Struct, frozen=True):
    """Which input of a node was refused."""

    input_name: Word | None = None
    received_value: object = None
    input_config: object = None
    """`[[options], {...}]`, or in nodes of the newer API `["COMBO", {"options": [...]}]`."""


class Fault(Struct, frozen=True):
    """Why a node, or a whole graph, was refused."""

    type: Word = ""
    message: str = ""
    details: str | None = None
    extra_info: About | None = None


class NodeFaults(Struct, frozen=True):
    """What is wrong with one node."""

    class_type: Word = "a node"
    errors: list[Fault] = []


class Refusal(Struct, frozen=True):
    """`/prompt`, when it refused the graph; each part is looked at by itself, so that one odd one hides no other."""

    error: object = None
    """A Fault."""
    node_errors: object = None
    """NodeFaults by node; an empty list where ComfyUI found none."""


class Told(Struct, frozen=True):
    """The data of a message about a prompt."""

    prompt_id: str = ""
    node: Word | int | None = None
    value: Steps = 0
    max: Steps = 0


class Event(Struct, frozen=True):
    """A message of the WebSocket."""

    type: Word
    data: Told
