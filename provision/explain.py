"""What ComfyUI's words mean: its log, its refusals and its execution errors, as sentences with a hint.

The signatures are those that people report (issues of ComfyUI and PyTorch) or that its source prints; see
execution.py, main.py and folder_paths.py of v0.3.64, and the messages of 0.38.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provision.errors import EngineError

AGAIN = "provision all"
PLAIN_FLAGS = "provision all --set 'comfyui.args=[\"--force-fp16\"]'"
NO_FLAGS = "provision all --set 'comfyui.args=[]'"
NEW_TORCH = "provision all --torch nightly"
SMALLER = "Close other programs, then: provision all   # an image of 512x512 needs about 8 GB"
DAMAGED = "provision doctor --deep --fix   # reads the whole file, and fetches it again where it is wrong"
CUSTOM = "Move ComfyUI/custom_nodes aside, then: provision all"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a text of the engine comes down to, and what to run next."""

    id: str
    says: str
    hint: str


# (id of the catalogue, what it says, what it means, what to do): the first that fits is taken, so what is narrow
# stands first. `{0}` is what the pattern's group found.
SIGNATURES: tuple[tuple[str, str, str, str], ...] = (
    ("mps-oom", r"MPS backend out of memory|MPSGraph.*out of memory",
     "the GPU's share of the memory is used up", SMALLER),
    ("mem-out", r"DefaultCPUAllocator: .*memory|Cannot allocate memory|\bMemoryError\b|OutOfMemoryError|out of memory",
     "there is not enough memory", SMALLER),
    ("mps-placeholder", r"Placeholder storage has not been allocated on MPS",
     "a part of the model was left on the CPU, most often by a custom node", CUSTOM),
    ("fp8-fp64-mps", r"Float8_e\w+.* to the MPS backend|MPS framework doesn't support float64|float64.*MPS",
     "the GPU of a Mac has no such number format (fp8, fp64)", PLAIN_FLAGS),
    ("mps-op-missing", r"The operator '([^']+)' is not currently (?:implemented|supported)[^\n]*MPS",
     "this torch lacks the operation {0} for the GPU of a Mac", NEW_TORCH),
    ("half-missing", r"\"(\w+)\" not implemented for 'Half'",
     "this torch cannot compute {0} in fp16 on this device", NO_FLAGS),
    ("mps-abort", r"LLVM ERROR: Failed to infer result type|NDArray dimension length > INT_MAX",
     "Apple's graphics library gave up in the middle of its work", NEW_TORCH),
    ("watermark-env", r"invalid low watermark ratio",
     "PYTORCH_MPS_HIGH_WATERMARK_RATIO is set to a value that torch refuses",
     "unset PYTORCH_MPS_HIGH_WATERMARK_RATIO"),
    ("ckpt-damaged", r"MetadataIncompleteBuffer|incomplete metadata|[Hh]eader ?[Tt]oo ?(?:[Ll]arge|[Ss]mall)"
     r"|InvalidHeader|invalid (?:JSON|UTF-8) in header|invalid header length|deserializing header",
     "the checkpoint file is cut short or damaged", DAMAGED),
    ("ckpt-other", r"Could not detect model type of: *([^\n]*)|clip input is invalid: None|VAE is invalid: None",
     "the checkpoint is not a whole SDXL model", "provision doctor --deep"),
    ("shape-mismatch", r"mat1 and mat2 shapes cannot be multiplied|size mismatch for|Expected size .* but got size",
     "the parts of the model do not fit together: another kind of checkpoint, or a custom node",
     "provision doctor --deep"),
    ("tv-mismatch", r"operator torchvision::nms does not exist",
     "torch and torchvision are not of the same build", "provision all   # installs the two together"),
    ("torch-no-mps", r"Torch not compiled with CUDA enabled",
     "torch sees no GPU here, and ComfyUI was not told to use the CPU", "provision doctor --deep"),
    ("mixed-arch-so", r"incompatible architecture",
     "the environment is of another processor (Rosetta)",
     "Remove the folder venv of the home, then: provision all"),
    ("quarantine", r"library load disallowed by system policy",
     "macOS quarantines a library of the environment", "xattr -dr com.apple.quarantine ~/provision/venv"),
    ("frontend-missing", r"comfyui-frontend-package is not installed",
     "ComfyUI's web page is not installed", AGAIN),
    ("req-missing", r"No module named '?([\w.]+)",
     "the Python package {0} is missing", AGAIN),
    ("db-in-use", r"ASSETS_STARTUP_FAILED: in_use",
     "another ComfyUI holds this home's database", "provision stop, then: provision launch"),
    ("req-missing", r"ASSETS_STARTUP_FAILED: missing_packages",
     "Python packages are missing", AGAIN),
    ("db-bad", r"ASSETS_STARTUP_FAILED: (\w+)",
     "ComfyUI's database cannot be used ({0})", "Move ComfyUI/user/comfyui.db aside, then: provision launch"),
    ("flag-unknown", r"main\.py: error: (?:unrecognized arguments: )?([^\n]+)",
     "this ComfyUI does not take its flags: {0}", PLAIN_FLAGS),
    ("yaml-bad", r"(?:extra_model_paths|extra_paths|load_extra_path_config|load_extra_paths)[\s\S]{0,3000}?"
     r"(?:NoneType|string indices|ScannerError|ParserError)",
     "extra_model_paths.yaml cannot be read",
     "Rename ComfyUI/extra_model_paths.yaml, then: provision launch"),
    ("port-busy", r"error while attempting to bind on address|Port \d+ is already in use|Address already in use",
     "the port was taken by another program", "provision all --set comfyui.port=8189"),
    ("disk-low", r"No space left on device",
     "the disk is full", "Free some space, then: provision all"),
    ("tcc-folder", r"Operation not permitted: '?([^'\n]*)",
     "macOS keeps this program out of the folder {0}", "provision all --home ~/provision"),
    ("perms-root", r"Permission denied: '?([^'\n]*)",
     "{0} belongs to another user", "sudo chown -R \"$USER\" ~/provision"),
    ("os27-psutil", r"host_statistics64",
     "psutil is too old for this macOS", "provision all --comfyui latest"),
)  # fmt: skip


def explain(text: str) -> Meaning | None:
    """What a text of the engine means, None when no known signature is in it."""
    for id, pattern, says, hint in SIGNATURES:
        found = re.search(pattern, text)
        if found:
            return Meaning(id, filled(says, found), hint)
    return None


def filled(says: str, found: re.Match[str]) -> str:
    """A signature's sentence with what its groups found."""
    return says.format(*(group or "" for group in found.groups())).strip()


def refusal(body: object, status: int) -> EngineError:
    """Why `/prompt` did not take a graph. `error.details` is often empty: the node errors say more."""
    body = body if isinstance(body, dict) else {}
    says = list(_node_errors(body.get("node_errors") or {}))
    if says:
        return EngineError("ComfyUI refuses the image: " + " ".join(says), hint=_refusal_hint(body))
    error = body.get("error")
    if isinstance(error, dict):
        words = " ".join(str(error.get(key) or "") for key in ("message", "details")).strip()
        return EngineError(f"ComfyUI refuses the image: {words}", hint="provision doctor --deep")
    hint = "provision logs"
    return EngineError(f"ComfyUI refuses the image with HTTP {status} and without saying why.", hint=hint)


def _node_errors(nodes: Mapping[str, Any]) -> Iterator[str]:
    for node in nodes.values():
        for error in node.get("errors", ()):
            yield f"{node_error(str(node.get('class_type', 'a node')), error)}."


def _refusal_hint(body: Mapping[str, Any]) -> str:
    about_checkpoint = "ckpt_name" in str(body.get("node_errors"))
    return "provision doctor" if about_checkpoint else "provision manifests show sdxl-turbo"


def node_error(node: str, error: Mapping[str, Any]) -> str:
    """One validation error of a node, in words and without a full stop."""
    extra = error.get("extra_info") or {}
    name, value = extra.get("input_name", error.get("details", "")), extra.get("received_value")
    match error.get("type"):
        case "value_not_in_list" if name == "ckpt_name":
            return f"it does not see the checkpoint {value}; it sees {_seen(error, extra)}"
        case "value_not_in_list":
            return f"{node} does not know {name} = {value!r}; it knows {_seen(error, extra)}"
        case "value_smaller_than_min" | "value_bigger_than_max":
            return f"{name} = {value!r} is out of the range of {node} ({error.get('message')})"
        case "required_input_missing":
            return f"{node} needs {name}, which was not given"
        case "return_type_mismatch" | "bad_linked_input":
            return f"{name} of {node} is linked to something that does not fit"
        case "invalid_input_type":
            return f"{name} = {value!r} is not of the kind that {node} wants"
        case _:
            return f"{node}: {error.get('message', error.get('type'))} {error.get('details') or ''}".strip()


def _seen(error: Mapping[str, Any], extra: Mapping[str, Any]) -> str:
    config = extra.get("input_config") or [[]]
    options = config[0]
    if options == "COMBO" and len(config) > 1:  # nodes of the newer API: ["COMBO", {"options": [...]}]
        options = config[1].get("options", [])
    if isinstance(options, list) and options:
        return ", ".join(str(option) for option in options)
    details = str(error.get("details") or "")
    if counted := re.search(r"list of length (\d+)", details):  # ComfyUI does not send more than 20
        return f"{counted[1]} others"
    listed = re.search(r"not in (.+)$", details)
    return "none" if listed is None or listed[1] == "[]" else listed[1]


@dataclass(frozen=True, slots=True)
class Failure:
    """What an `execution_error` comes down to: an id of the catalogue, a sentence, what to run next."""

    id: str
    says: str
    hint: str
    custom_node: str = ""
    """The custom node that it comes from, by the name in `custom_nodes`; empty where it is ComfyUI's own."""


# What a custom node most often brings about; with the others its name is told all the same.
OF_CUSTOM_NODES = ("mps-placeholder", "shape-mismatch", "engine-error")


def failure_of(data: Mapping[str, Any], module: str = "") -> Failure:
    """What `execution_error` means; `module` is the node's `python_module` in `/object_info`, where it was asked."""
    said = str(data.get("exception_message", "")).strip()
    first = said.splitlines()[0] if said else "nothing"
    trace = "".join(str(line) for line in data.get("traceback") or ())
    custom = custom_node_in(trace) or (module.removeprefix("custom_nodes.") if "custom_nodes." in module else "")
    where = f"{data.get('node_type', 'a node')} (node {data.get('node_id')})"
    where = f"{where} of the custom node {custom}" if custom else where
    meaning = explain(f"{said}\n{trace}")
    if meaning is None:
        kind = data.get("exception_type", "an error")
        meaning = Meaning("engine-error", f"ComfyUI failed in {where} with {kind}: {first}", "provision logs")
    else:
        says = f"ComfyUI failed in {where}: {meaning.says}. It said: {first}"
        meaning = Meaning(meaning.id, says, meaning.hint)
    hint = meaning.hint
    if custom and meaning.id in OF_CUSTOM_NODES:
        hint = f"Rename ComfyUI/custom_nodes/{custom} to end in .disabled, then: provision stop && provision launch"
    return Failure(meaning.id, meaning.says, hint, custom)


def custom_node_in(trace: str) -> str:
    """The custom node in whose code a traceback ends; empty where it does not come from one."""
    found = re.findall(r"custom_nodes[/\\]([^/\\\"\n]+)", trace)
    return found[-1] if found else ""


def execution_failure(data: Mapping[str, Any]) -> EngineError:
    """What `execution_error` means, as an error to raise."""
    failure = failure_of(data)
    return EngineError(failure.says, hint=failure.hint, finding=failure.id)


def failed_in(entry: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The `execution_error` of a history entry; None where there is none."""
    messages = (entry.get("status") or {}).get("messages", ())
    return next((data for kind, data in messages if kind == "execution_error"), None)


def death(text: str) -> Meaning:
    """Why ComfyUI ended while it made an image, from what its log says since the prompt."""
    killed = "it was killed without a word: most often because the memory was full"
    why = explain(text) or Meaning("mem-killed", killed, SMALLER)
    return Meaning(why.id, f"ComfyUI ended while it made the image: {why.says}.", why.hint)


def raise_failure(entry: Mapping[str, Any]) -> None:
    """Raise EngineError when a history entry is that of a prompt that did not succeed."""
    status = entry.get("status") or {}
    if (error := failed_in(entry)) is not None:
        raise execution_failure(error)
    for kind, _ in status.get("messages", ()):
        if kind == "execution_interrupted":
            raise EngineError("Somebody stopped the image in ComfyUI.", hint="Run the same command again.")
    if status.get("status_str") == "error":
        raise EngineError("ComfyUI failed to make the image, and does not say why.", hint="provision logs")
