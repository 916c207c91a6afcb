"""Is a prompt well-formed? The checks, and the words of the refusals, of ComfyUI's /prompt."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from cli_args import IS_RECENT
from nodes import NODE_CLASSES

Error = dict[str, Any]
Graph = dict[str, dict[str, Any]]
Seen = dict[str, tuple[bool, list[Error]]]
CASTS = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}
CHECK_FAILURES = (KeyError, IndexError, TypeError, RecursionError)
LONGEST_LIST = 20
"""A longer list of choices is not sent back."""


@dataclass(frozen=True)
class Verdict:
    """What to run, or why not: `error` is None where at least one output may run."""

    error: Error | None
    outputs: list[str]
    node_errors: dict[str, Any] = field(default_factory=dict)


def make_error(kind: str, message: str, details: str = "", **extra_info: Any) -> Error:
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info}


def validate_prompt(graph: Graph) -> Verdict:
    """Check the outputs of a prompt and all that they are made from; values are cast in place to their input's type."""
    for node_id, node in graph.items():
        error = missing_class(node_id, node)
        if error is not None:
            return Verdict(error, [])
    outputs = [node_id for node_id, node in graph.items() if NODE_CLASSES[node["class_type"]].is_output]
    if not outputs:
        return Verdict(make_error("prompt_no_outputs", "Prompt has no outputs"), [])
    seen: Seen = {}
    good = [node_id for node_id in outputs if validate_output(graph, node_id, seen)]
    bad = [node_id for node_id in outputs if node_id not in good]
    node_errors = {
        node_id: {"errors": errors, "dependent_outputs": bad, "class_type": graph[node_id]["class_type"]}
        for node_id, (_, errors) in seen.items()
        if errors
    }
    log_failures(bad, node_errors)
    if good:
        return Verdict(None, good, node_errors)
    reasons = [error for node_id in bad for error in seen[node_id][1]]
    details = "\n".join(f"{error['message']}: {error['details']}" for error in reasons)
    summary = make_error("prompt_outputs_failed_validation", "Prompt outputs failed validation", details)
    return Verdict(summary, [], node_errors)


def validate_output(graph: Graph, node_id: str, seen: Seen) -> bool:
    """Whether an output node is well-formed; a failure of the check itself is an error of that node."""
    try:
        return validate_node(graph, node_id, seen)
    except CHECK_FAILURES as error:
        extra = {"exception_type": type(error).__name__, "traceback": []}
        message = "Exception when validating node"
        seen[node_id] = (False, [make_error("exception_during_validation", message, str(error), **extra)])
        return False


def missing_class(node_id: str, node: dict[str, Any]) -> Error | None:
    """The error for a node without a class, or of one that is not installed."""
    class_type = node.get("class_type")
    if class_type in NODE_CLASSES:
        return None
    details = f"Node ID '#{node_id}'"
    if not IS_RECENT:
        reason = (
            "a node is missing the class_type property" if class_type is None else f"node {class_type} does not exist"
        )
        return make_error("invalid_prompt", f"Cannot execute because {reason}.", details)
    title = node.get("_meta", {}).get("title", class_type)
    message = f"Node '{title}' not found. The custom node may not be installed."
    if class_type is None:
        message = (
            f"Node '{title or f'ID #{node_id}'}' has no class_type. The workflow may be corrupted or a "
            "custom node is missing."
        )
    return make_error("missing_node_type", message, details, node_id=node_id, class_type=class_type, node_title=title)


def validate_node(graph: Graph, node_id: str, seen: Seen) -> bool:
    """Whether a node and all before it are well-formed; errors go to `seen`, each under its own node."""
    if node_id in seen:
        return seen[node_id][0]
    node = graph[node_id]
    fine, errors = True, []
    for name, (kind, options) in NODE_CLASSES[node["class_type"]].inputs()["required"].items():
        if name not in node["inputs"]:
            errors.append(make_error("required_input_missing", "Required input is missing", name, input_name=name))
            continue
        value, info = node["inputs"][name], {"input_name": name, "input_config": (kind, options)}
        if not isinstance(value, list):
            error = check_value(node["inputs"], kind, options, info)
        else:
            error = check_link(graph, value, kind, info)
            if error is None:
                fine = validate_link(graph, value, seen, info) and fine
        if error is not None:
            errors.append(error)
    seen[node_id] = (fine and not errors, errors)
    return seen[node_id][0]


def validate_link(graph: Graph, link: list[Any], seen: Seen, info: Error) -> bool:
    """Whether the linked node is well-formed; a failure of the check itself is an error of that node."""
    try:
        return validate_node(graph, link[0], seen)
    except CHECK_FAILURES as error:
        what = {"exception_message": str(error), "exception_type": type(error).__name__, "linked_node": link}
        message = "Exception when validating inner node"
        failure = make_error("exception_during_inner_validation", message, str(error), **info, **what)
        seen[link[0]] = (False, [failure])
        return False


def check_link(graph: Graph, link: list[Any], kind: object, info: Error) -> Error | None:
    """A link names a node and one of its outputs, of the type that the input wants."""
    name = info["input_name"]
    if len(link) != 2:
        message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
        return make_error("bad_linked_input", message, name, **info, received_value=link)
    received = NODE_CLASSES[graph[link[0]]["class_type"]].outputs[link[1]]
    if received == kind:
        return None
    details = f"{name}, received_type({received}) mismatch input_type({kind})"
    message = "Return type mismatch between linked nodes"
    return make_error("return_type_mismatch", message, details, **info, received_type=received, linked_node=link)


def check_value(inputs: dict[str, Any], kind: Any, options: dict[str, Any], info: Error) -> Error | None:
    """A value can be cast to its type (and is), lies within its bounds, and is one of the choices."""
    name = info["input_name"]
    value = inputs[name]
    if isinstance(kind, list):
        return None if value in kind else not_in_list(name, value, kind, info)
    try:
        inputs[name] = value = CASTS.get(kind, lambda same: same)(value)
    except (TypeError, ValueError) as error:
        message = f"Failed to convert an input value to a {kind} value"
        extra = {**info, "received_value": value, "exception_message": str(error)}
        return make_error("invalid_input_type", message, f"{name}, {value}, {error}", **extra)
    if "min" in options and value < options["min"]:
        message = f"Value {value} smaller than min of {options['min']}"
        return make_error("value_smaller_than_min", message, name, **info, received_value=value)
    if "max" in options and value > options["max"]:
        message = f"Value {value} bigger than max of {options['max']}"
        return make_error("value_bigger_than_max", message, name, **info, received_value=value)
    return None


def not_in_list(name: str, value: object, choices: list[str], info: Error) -> Error:
    shown = repr(value) if IS_RECENT else f"'{value}'"
    config = info["input_config"] if len(choices) <= LONGEST_LIST else None
    listed = str(choices) if config is not None else f"(list of length {len(choices)})"
    extra = {"input_name": name, "input_config": config, "received_value": value}
    return make_error("value_not_in_list", "Value not in list", f"{name}: {shown} not in {listed}", **extra)


def log_failures(outputs: list[str], node_errors: dict[str, Any]) -> None:
    for node_id in outputs:
        logging.error(f"Failed to validate prompt for output {node_id}:")
        for failed_id, failure in node_errors.items():
            logging.error(f"* {failure['class_type']} {failed_id}:")
            for error in failure["errors"]:
                logging.error(f"  - {error['message']}: {error['details']}")
        logging.error("Output will be ignored")
