"""What ComfyUI's words mean: its log, its refusals and its execution errors, as sentences with a hint.

The signatures are those that people report (issues of ComfyUI and PyTorch) or that its source prints; see
execution.py, main.py and folder_paths.py of v0.3.64, and the messages of 0.38.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from provision.comfyui.answers import About, Ended, Failed, Fault, Message, NodeFaults, Refusal, Status
from provision.command import Command, Fix, as_fix, ours, program
from provision.errors import EngineError
from provision.system.strict import Unreadable, convert

T = TypeVar("T")
WORDS_MAX, FAULTS_MAX = 500, 10
"""Characters of one text of ComfyUI's, and errors of its nodes, that are shown."""
TEXT_MAX = 20_000
"""Characters of an error, and of a traceback, that are looked through."""

AGAIN = ours("all")
PLAIN_FLAGS = ours("all", "--set", 'comfyui.args=["--force-fp16"]')
NO_FLAGS = ours("all", "--set", "comfyui.args=[]")
NEW_TORCH = ours("all", "--torch", "nightly")
SMALLER = Fix("Close other programs (an image of 512x512 needs about 8 GB), then:", ours("all"))
DAMAGED = Fix("Read the whole file, and fetch it again where it is wrong:", ours("doctor", "--deep", "--fix"))
RESTART = ours("stop", then=ours("launch"))
CUSTOM = Fix("Move ComfyUI/custom_nodes aside, then:", ours("all"))


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a text of the engine comes down to, and what to run next."""

    id: str
    says: str
    hint: Fix


# (id of the catalogue, what it says, what it means, what to do): the first that fits is taken, so what is narrow
# stands first. `{0}` is what the pattern's group found. What may stand between two words is bounded: else a line that
# is a million times the first word would be read a million times.
SIGNATURES: tuple[tuple[str, str, str, Fix | Command], ...] = (
    ("mps-oom", r"MPS backend out of memory|MPSGraph.{0,300}out of memory",
     "the GPU's share of the memory is used up", SMALLER),
    ("mem-out", r"DefaultCPUAllocator: .{0,300}memory|Cannot allocate memory|\bMemoryError\b|OutOfMemoryError"
     r"|out of memory",
     "there is not enough memory", SMALLER),
    ("mps-placeholder", r"Placeholder storage has not been allocated on MPS",
     "a part of the model was left on the CPU, most often by a custom node", CUSTOM),
    ("fp8-fp64-mps", r"Float8_e\w{1,20}.{0,300} to the MPS backend"
     r"|MPS framework doesn't support float64|float64.{0,300}MPS",
     "the GPU of a Mac has no such number format (fp8, fp64)", PLAIN_FLAGS),
    ("mps-op-missing", r"The operator '([^']{1,300})' is not currently (?:implemented|supported)[^\n]{0,300}MPS",
     "this torch lacks the operation {0} for the GPU of a Mac", NEW_TORCH),
    ("half-missing", r"\"(\w+)\" not implemented for 'Half'",
     "this torch cannot compute {0} in fp16 on this device", NO_FLAGS),
    ("mps-abort", r"LLVM ERROR: Failed to infer result type|NDArray dimension length > INT_MAX",
     "Apple's graphics library gave up in the middle of its work", NEW_TORCH),
    ("watermark-env", r"invalid low watermark ratio",
     "PYTORCH_MPS_HIGH_WATERMARK_RATIO is set to a value that torch refuses",
     program("unset", "PYTORCH_MPS_HIGH_WATERMARK_RATIO")),
    ("ckpt-damaged", r"MetadataIncompleteBuffer|incomplete metadata|[Hh]eader ?[Tt]oo ?(?:[Ll]arge|[Ss]mall)"
     r"|InvalidHeader|invalid (?:JSON|UTF-8) in header|invalid header length|deserializing header",
     "the checkpoint file is cut short or damaged", DAMAGED),
    ("ckpt-other", r"Could not detect model type of: *([^\n]*)|clip input is invalid: None|VAE is invalid: None",
     "the checkpoint is not a whole SDXL model", ours("doctor", "--deep")),
    ("shape-mismatch", r"mat1 and mat2 shapes cannot be multiplied|size mismatch for"
     r"|Expected size .{0,300} but got size",
     "the parts of the model do not fit together: another kind of checkpoint, or a custom node",
     ours("doctor", "--deep")),
    ("tv-mismatch", r"operator torchvision::nms does not exist",
     "torch and torchvision are not of the same build", Fix("The two are installed together:", ours("all"))),
    ("torch-no-mps", r"Torch not compiled with CUDA enabled",
     "torch sees no GPU here, and ComfyUI was not told to use the CPU", ours("doctor", "--deep")),
    ("mixed-arch-so", r"incompatible architecture",
     "the environment is of another processor (Rosetta)",
     Fix("Remove the folder venv of the home, then:", ours("all"))),
    ("quarantine", r"library load disallowed by system policy",
     "macOS quarantines a library of the environment", ours("doctor", "--fix", "--only", "quarantine")),
    ("frontend-missing", r"comfyui-frontend-package is not installed",
     "ComfyUI's web page is not installed", AGAIN),
    ("req-missing", r"No module named '?([\w.]+)",
     "the Python package {0} is missing", AGAIN),
    ("db-in-use", r"ASSETS_STARTUP_FAILED: in_use",
     "another ComfyUI holds this home's database", RESTART),
    ("req-missing", r"ASSETS_STARTUP_FAILED: missing_packages",
     "Python packages are missing", AGAIN),
    ("db-bad", r"ASSETS_STARTUP_FAILED: (\w+)",
     "ComfyUI's database cannot be used ({0})", Fix("Move ComfyUI/user/comfyui.db aside, then:", ours("launch"))),
    ("flag-unknown", r"main\.py: error: (?:unrecognized arguments: )?([^\n]+)",
     "this ComfyUI does not take its flags: {0}", PLAIN_FLAGS),
    ("yaml-bad", r"(?:extra_model_paths|extra_paths|load_extra_path_config|load_extra_paths)[\s\S]{0,3000}?"
     r"(?:NoneType|string indices|ScannerError|ParserError)",
     "extra_model_paths.yaml cannot be read",
     Fix("Rename ComfyUI/extra_model_paths.yaml, then:", ours("launch"))),
    ("port-busy", r"error while attempting to bind on address|Port \d+ is already in use|Address already in use",
     "the port was taken by another program", ours("all", "--set", "comfyui.port=8189")),
    ("disk-low", r"No space left on device",
     "the disk is full", Fix("Free some space, then:", ours("all"))),
    ("tcc-folder", r"Operation not permitted: '?([^'\n]*)",
     "macOS keeps this program out of the folder {0}", ours("all", "--home", "~/provision")),
    ("perms-root", r"Permission denied: '?([^'\n]*)",
     "{0} belongs to another user", ours("doctor", "--only", "perms-root")),
    ("os27-psutil", r"host_statistics64",
     "psutil is too old for this macOS", ours("all", "--comfyui", "latest")),
)  # fmt: skip


def explain(text: str) -> Meaning | None:
    """What a text of the engine means, None when no known signature is in it."""
    for id, pattern, says, hint in SIGNATURES:
        found = re.search(pattern, text)
        if found:
            return Meaning(id, filled(says, found), as_fix(hint))
    return None


def filled(says: str, found: re.Match[str]) -> str:
    """A signature's sentence with what its groups found."""
    return says.format(*(short(group or "") for group in found.groups())).strip()


def refusal(body: object, status: int) -> EngineError:
    """Why `/prompt` did not take a graph. `error.details` is often empty: the node errors say more."""
    refused = _as(body, Refusal) or Refusal()
    nodes = refused.node_errors if isinstance(refused.node_errors, dict) else {}
    faulty = [node for each in nodes.values() if (node := _as(each, NodeFaults)) is not None]
    says = [f"{node_error(node.class_type, fault)}." for node in faulty for fault in node.errors][:FAULTS_MAX]
    if says:
        on_checkpoint = any(_input_of(fault) == "ckpt_name" for node in faulty for fault in node.errors)
        hint = ours("doctor") if on_checkpoint else ours("manifests", "show", "sdxl-turbo")
        return EngineError("ComfyUI refuses the image: " + " ".join(says), hint=hint)
    error = _as(refused.error, Fault)
    words = short(f"{error.message} {error.details or ''}".strip()) if error is not None else ""
    if words:
        return EngineError(f"ComfyUI refuses the image: {words}", hint=ours("doctor", "--deep"))
    return EngineError(f"ComfyUI refuses the image with HTTP {status} and without saying why.", hint=ours("logs"))


def _as(value: object, kind: type[T]) -> T | None:
    with suppress(Unreadable):
        return convert(value, kind)
    return None


def short(text: str) -> str:
    """Words of others, at most so many of them as a person reads."""
    return text if len(text) <= WORDS_MAX else f"{text[:WORDS_MAX]}..."


def _input_of(fault: Fault) -> str:
    name = fault.extra_info.input_name if fault.extra_info is not None else None
    return name if name is not None else fault.details or ""


def node_error(node: str, fault: Fault) -> str:
    """One validation error of a node, in words and without a full stop."""
    about = fault.extra_info or About()
    node, name, value = short(node), short(_input_of(fault)), short(_word(about.received_value))
    plain = short(about.received_value) if isinstance(about.received_value, str) else value
    match fault.type:
        case "value_not_in_list" if name == "ckpt_name":
            return f"it does not see the checkpoint {plain}; it sees {_seen(fault, about)}"
        case "value_not_in_list":
            return f"{node} does not know {name} = {value}; it knows {_seen(fault, about)}"
        case "value_smaller_than_min" | "value_bigger_than_max":
            return f"{name} = {value} is out of the range of {node} ({short(fault.message)})"
        case "required_input_missing":
            return f"{node} needs {name}, which was not given"
        case "return_type_mismatch" | "bad_linked_input":
            return f"{name} of {node} is linked to something that does not fit"
        case "invalid_input_type":
            return f"{name} = {value} is not of the kind that {node} wants"
        case _:
            return short(f"{node}: {fault.message or fault.type} {fault.details or ''}".strip())


def _word(value: object) -> str:
    return repr(value) if isinstance(value, str | int | float | None) else "a list or an object"


def _seen(fault: Fault, about: About) -> str:
    options: list[object] = []
    match about.input_config:
        case ["COMBO", {"options": list(options)}, *_]:
            pass
        case [list(options), *_]:
            pass
    if options:
        return short(", ".join(str(option) for option in options if isinstance(option, str | int | float)))
    details = fault.details or ""
    if counted := re.search(r"list of length (\d+)", details):  # ComfyUI does not send more than 20
        return f"{counted[1]} others"
    listed = re.search(r"not in (.+)$", details)
    return "none" if listed is None or listed[1] == "[]" else short(listed[1])


@dataclass(frozen=True, slots=True)
class Failure:
    """What an `execution_error` comes down to: an id of the catalogue, a sentence, what to run next."""

    id: str
    says: str
    hint: Fix
    node: str = ""
    """The kind of node that failed."""
    custom_node: str = ""
    """The custom node that it comes from, by the name in `custom_nodes`; empty where it is ComfyUI's own."""
    stamp_ms: float | None = None
    """When, in milliseconds since 1970, by ComfyUI's clock."""


# What a custom node most often brings about; with the others its name is told all the same.
OF_CUSTOM_NODES = ("mps-placeholder", "shape-mismatch", "engine-error")


def failure_of(data: object, module: str = "") -> Failure:
    """What `execution_error` means; `module` is the node's `python_module` in `/object_info`, where it was asked."""
    error = _as(data, Failed) or Failed()
    said = error.exception_message[:TEXT_MAX].strip()
    first = short(said.splitlines()[0]) if said else "nothing"
    trace = "".join(error.traceback or ())[-TEXT_MAX:]
    custom = custom_node_in(trace) or (module.removeprefix("custom_nodes.") if "custom_nodes." in module else "")
    where = f"{short(error.node_type or 'a node')} (node {error.node_id})"
    where = f"{where} of the custom node {custom}" if custom else where
    meaning = explain(f"{said}\n{trace}")
    if meaning is None:
        kind = short(error.exception_type)
        meaning = Meaning("engine-error", f"ComfyUI failed in {where} with {kind}: {first}", Fix(command=ours("logs")))
    else:
        says = f"ComfyUI failed in {where}: {meaning.says}. It said: {first}"
        meaning = Meaning(meaning.id, says, meaning.hint)
    hint = meaning.hint
    if custom and meaning.id in OF_CUSTOM_NODES:
        hint = Fix(f"Rename ComfyUI/custom_nodes/{custom} to end in .disabled, then:", RESTART)
    return Failure(meaning.id, meaning.says, hint, error.node_type, custom, error.timestamp)


def custom_node_in(trace: str) -> str:
    """The custom node in whose code a traceback ends; empty where it does not come from one."""
    found = re.findall(r"custom_nodes[/\\]([^/\\\"\n]+)", trace)
    return found[-1] if found else ""


def execution_failure(data: object) -> EngineError:
    """What `execution_error` means, as an error to raise."""
    failure = failure_of(data)
    return EngineError(failure.says, hint=failure.hint, finding=failure.id)


def failed_in(entry: Ended) -> Message | None:
    """The `execution_error` of a history entry; None where there is none."""
    messages = entry.status.messages if entry.status is not None else ()
    return next((message for message in messages if message.kind == "execution_error"), None)


def death(text: str) -> Meaning:
    """Why ComfyUI ended while it made an image, from what its log says since the prompt."""
    killed = "its log does not say why: the memory was full, or somebody ended it"
    why = explain(text) or Meaning("mem-killed", killed, SMALLER)
    return Meaning(why.id, f"ComfyUI ended while it made the image: {why.says}.", why.hint)


def raise_failure(entry: Ended) -> None:
    """Raise EngineError when a history entry is that of a prompt that did not succeed."""
    status = entry.status or Status()
    if (error := failed_in(entry)) is not None:
        raise execution_failure(error.data)
    if any(message.kind == "execution_interrupted" for message in status.messages):
        raise EngineError("Somebody stopped the image in ComfyUI.", hint=Fix("Run the same command again."))
    if status.status_str == "error":
        raise EngineError("ComfyUI failed to make the image, and does not say why.", hint=ours("logs"))
