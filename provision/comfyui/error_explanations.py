"""ComfyUI's log, refusals and execution errors, explained in sentences with a hint (see `error_signatures`)."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from provision.comfyui.answers import About, Ended, Failed, Fault, Message, NodeFaults, Refusal, Status
from provision.comfyui.error_signatures import NODE_FOLDER, RESTART, SIGNATURES, SMALLER, node_at_end, short
from provision.command import Fix, ours
from provision.errors import EngineError
from provision.system.strict import Unreadable, convert

T = TypeVar("T")
FAULTS_MAX = 10
"""Errors of nodes that are shown."""
TEXT_MAX = 20_000
"""Characters of an error, and of a traceback, that are searched."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of an error: a finding's id, a sentence without a full stop, what to do next."""

    id: str
    says: str
    hint: Fix
    blames_node: bool = False
    """Whether a custom node that it comes from should be disabled."""


def explain(text: str) -> Meaning | None:
    """The meaning of a text of ComfyUI's; None when it has no known signature."""
    for sign in SIGNATURES:
        found, near = re.search(sign.pattern, text), re.search(sign.near, text)
        if found and near and re.search(sign.beside, text) and (not sign.in_node or node_at_end(text)):
            return Meaning(sign.id, sign.says_of(found, near), sign.hint_of(found), sign.blames_node)
    return None


def refusal(body: object, status: int) -> EngineError:
    """Why `/prompt` refused a graph. `error.details` is often empty: the node errors say more."""
    refused = _as(body, Refusal) or Refusal()
    nodes = refused.node_errors if isinstance(refused.node_errors, dict) else {}
    faulty = [node for each in nodes.values() if (node := _as(each, NodeFaults)) is not None]
    says = [f"{node_error(node.class_type, fault)}." for node in faulty for fault in node.errors][:FAULTS_MAX]
    if says:
        on_checkpoint = any(_input_of(fault) == "ckpt_name" for node in faulty for fault in node.errors)
        hint = ours("doctor") if on_checkpoint else ours("manifests", "show", "sdxl-turbo")
        return EngineError("ComfyUI rejected the request: " + " ".join(says), hint=hint)
    error = _as(refused.error, Fault) or Fault()
    if words := short(f"{error.message} {error.details or ''}".strip()):
        return EngineError(f"ComfyUI rejected the request: {words}", hint=ours("doctor", "--deep"))
    return EngineError(f"ComfyUI rejected the request with HTTP {status} without a reason.", hint=ours("logs"))


def _as(value: object, kind: type[T]) -> T | None:
    with suppress(Unreadable):
        return convert(value, kind)
    return None


def _input_of(fault: Fault) -> str:
    name = fault.extra_info.input_name if fault.extra_info is not None else None
    return name if name is not None else fault.details or ""


def node_error(node: str, fault: Fault) -> str:
    """A validation error of a node, as a sentence without a full stop."""
    about = fault.extra_info or About()
    node, name, given = short(node), short(_input_of(fault)), about.received_value
    value = short(repr(given) if isinstance(given, str | int | float | None) else "a list or an object")
    match fault.type:
        case "value_not_in_list" if name == "ckpt_name":
            plain = short(given) if isinstance(given, str) else value
            return f"it does not see the checkpoint {plain}; it sees {_seen(fault, about)}"
        case "value_not_in_list":
            return f"{node} does not know {name} = {value}; it knows {_seen(fault, about)}"
        case "value_smaller_than_min" | "value_bigger_than_max":
            return f"{name} = {value} is out of range for {node} ({short(fault.message)})"
        case "required_input_missing":
            return f"{node} needs {name}, which is missing"
        case "return_type_mismatch" | "bad_linked_input":
            return f"{name} of {node} is connected to something incompatible"
        case "invalid_input_type":
            return f"{name} = {value} has the wrong type for {node}"
        case _:
            return short(f"{node}: {fault.message or fault.type} {fault.details or ''}".strip())


def _seen(fault: Fault, about: About) -> str:
    """The values that an input would take."""
    match about.input_config:
        case ["COMBO", {"options": [_, *_] as options}, *_] | [[_, *_] as options, *_]:
            return short(", ".join(str(option) for option in options if isinstance(option, str | int | float)))
    details = fault.details or ""
    if counted := re.search(r"list of length (\d+)", details):  # ComfyUI does not send more than 20
        return f"{counted[1]} others"
    listed = re.search(r"not in (.+)$", details)
    return "none" if listed is None or listed[1] == "[]" else short(listed[1])


@dataclass(frozen=True, slots=True)
class Failure:
    """The meaning of an `execution_error`: a finding's id, a sentence, what to do next."""

    id: str
    says: str
    hint: Fix
    node: str = ""
    """The kind of node that failed."""
    custom_node: str = ""
    """The name in `custom_nodes` of the custom node that it comes from; empty for ComfyUI's own."""
    stamp_ms: float | None = None
    """Its time in milliseconds since 1970, by ComfyUI's clock."""


def failure_of(data: object, module: str = "") -> Failure:
    """The meaning of an `execution_error`; `module` is the node's `python_module` in `/object_info`, if known."""
    error = _as(data, Failed) or Failed()
    said = error.exception_message[:TEXT_MAX].strip()
    first = short(said.splitlines()[0]) if said else "nothing"
    trace = "".join(error.traceback or ())[-TEXT_MAX:]
    custom = custom_node_in(trace) or (module.removeprefix("custom_nodes.") if "custom_nodes." in module else "")
    where = f"{short(error.node_type or 'a node')} (node {error.node_id})"
    where = f"{where} of the custom node {custom}" if custom else where
    if (meaning := explain(f"{said}\n{trace}")) is not None:
        says = f"ComfyUI failed in {where}: {meaning.says}. It said: {first}"
    else:
        meaning = Meaning("engine-error", "", Fix(command=ours("logs")), blames_node=True)
        says = f"ComfyUI failed in {where} with {short(error.exception_type)}: {first}"
    hint = meaning.hint
    if custom and meaning.blames_node:
        hint = Fix(f"Rename ComfyUI/custom_nodes/{custom} to end in .disabled, then:", RESTART)
    return Failure(meaning.id, says, hint, error.node_type, custom, error.timestamp)


def custom_node_in(trace: str) -> str:
    """The custom node in whose code a traceback ends; empty where there is none."""
    found = NODE_FOLDER.findall(trace)
    return found[-1] if found else ""


def execution_failure(data: object) -> EngineError:
    """An `execution_error` as an error to raise."""
    failure = failure_of(data)
    return EngineError(failure.says, hint=failure.hint, finding=failure.id)


def failed_in(entry: Ended) -> Message | None:
    """The `execution_error` of a history entry; None where there is none."""
    messages = entry.status.messages if entry.status is not None else ()
    return next((message for message in messages if message.kind == "execution_error"), None)


def death(text: str) -> Meaning:
    """Why ComfyUI ended while it made an image, by its log since the prompt."""
    killed = "its log does not say why: out of memory, or someone stopped it"
    why = explain(text) or Meaning("mem-killed", killed, SMALLER)
    return Meaning(why.id, f"ComfyUI exited while making the image: {why.says}.", why.hint)


def raise_failure(entry: Ended) -> None:
    """Raise EngineError for a history entry of a prompt that did not succeed."""
    status = entry.status or Status()
    if (error := failed_in(entry)) is not None:
        raise execution_failure(error.data)
    if any(message.kind == "execution_interrupted" for message in status.messages):
        raise EngineError("Someone cancelled the image in ComfyUI.", hint=Fix("Run the same command again."))
    if status.status_str == "error":
        raise EngineError("ComfyUI failed to make the image and does not say why.", hint=ours("logs"))
