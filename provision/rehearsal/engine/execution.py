"""Prompts, one after the other: the queue, the cache between two of them, and the messages while one runs."""

from __future__ import annotations

import heapq
import logging
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nodes import NODE_CLASSES, Context, InterruptProcessingException, digest, interrupt
from PIL import Image

Send = Callable[[str, Any, "str | None"], None]
free_memory = threading.Event()
"""Whether to drop all results before the next prompt."""
NODE_FAILURES = (OSError, RuntimeError, ValueError, TypeError, KeyError)


@dataclass(order=True)
class Item:
    """A prompt in the queue; a lower number comes first."""

    number: float
    prompt_id: str
    graph: dict[str, Any] = field(compare=False)
    extra_data: dict[str, Any] = field(compare=False)
    outputs: list[str] = field(compare=False)

    def to_json(self) -> list[Any]:
        """The item as /queue and /history show it."""
        return [self.number, self.prompt_id, self.graph, self.extra_data, self.outputs]


class PromptQueue:
    """What waits, what runs, and what was; safe to use from several threads."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.changed = changed
        self.arrived = threading.Condition()
        self.waiting: list[Item] = []
        self.running: Item | None = None
        self.history: dict[str, dict[str, Any]] = {}

    def put(self, item: Item) -> None:
        with self.arrived:
            heapq.heappush(self.waiting, item)
            self.arrived.notify()
        self.changed()

    def take(self) -> Item:
        """Wait for the next prompt, which then counts as running."""
        with self.arrived:
            self.arrived.wait_for(lambda: self.waiting)
            self.running = item = heapq.heappop(self.waiting)
        self.changed()
        return item

    def finish(self, item: Item, result: dict[str, Any]) -> None:
        with self.arrived:
            self.running = None
            self.history[item.prompt_id] = {"prompt": item.to_json(), **result}
        self.changed()

    def delete(self, prompt_ids: list[str] | None = None) -> None:
        """Take prompts from the queue, all that wait by default."""
        with self.arrived:
            self.waiting = [
                item for item in self.waiting if prompt_ids is not None and item.prompt_id not in prompt_ids
            ]
            heapq.heapify(self.waiting)
        self.changed()

    def remaining(self) -> int:
        with self.arrived:
            return len(self.waiting) + (self.running is not None)


@dataclass(frozen=True)
class Result:
    """What a node gave: outputs for other nodes, and what it shows (`images`)."""

    outputs: tuple[Any, ...]
    shown: dict[str, Any]


def is_link(value: object) -> bool:
    """Whether an input is another node's output: [node id, slot]."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def sign(graph: dict[str, Any], node_id: str) -> bytes:
    """What a node's result depends on: its class, its values and, through links, all before it."""
    node = graph[node_id]
    inputs = (
        (name, (sign(graph, value[0]), value[1]) if is_link(value) else value)
        for name, value in sorted(node["inputs"].items())
    )
    return digest(node["class_type"], *inputs)


def execute(item: Item, cache: dict[bytes, Result], send: Send) -> dict[str, Any]:
    """Run one prompt to its end, good or bad; the part of its history entry that follows from that.

    Results are kept until a prompt comes in which their node does not appear as it was.
    """
    interrupt.clear()
    if free_memory.is_set():
        free_memory.clear()
        cache.clear()
    run = Run(item, cache, send)
    for signature in cache.keys() - set(run.signatures.values()):
        del cache[signature]
    return run.execute()


class Run:
    """One prompt while it runs."""

    def __init__(self, item: Item, cache: dict[bytes, Result], send: Send) -> None:
        self.item, self.cache, self.send = item, cache, send
        self.client_id = item.extra_data.get("client_id")
        self.signatures = {node_id: sign(item.graph, node_id) for node_id in item.graph}
        self.progress: dict[str, dict[str, Any]] = {}
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.executed: list[str] = []

    def execute(self) -> dict[str, Any]:
        """Run the outputs and all that they need; the history entry."""
        self.report("execution_start")
        self.report("execution_cached", nodes=[node_id for node_id in self.item.graph if self.is_cached(node_id)])
        success = all(self.reach(node_id) for node_id in self.item.outputs)
        if success:
            self.report("execution_success")
        shown = {node_id: self.cache[key].shown for node_id, key in self.signatures.items() if key in self.cache}
        outputs = {node_id: result for node_id, result in shown.items() if result}
        status = {
            "status_str": "success" if success else "error",
            "completed": success,
            "messages": [list(message) for message in self.messages],
        }
        return {"outputs": outputs, "status": status, "meta": {node_id: describe(node_id) for node_id in outputs}}

    def is_cached(self, node_id: str) -> bool:
        return self.signatures[node_id] in self.cache

    def reach(self, node_id: str) -> bool:
        """Run a node after those before it, or answer from the cache; False when something failed."""
        if self.is_cached(node_id):
            if node_id not in self.executed:
                self.tell(
                    "executed",
                    node=node_id,
                    display_node=node_id,
                    output=self.cache[self.signatures[node_id]].shown or None,
                )
                self.advance(node_id, "finished")
            return True
        links = [value[0] for value in self.item.graph[node_id]["inputs"].values() if is_link(value)]
        return all(self.is_cached(before) or self.reach(before) for before in links) and self.run_node(node_id)

    def run_node(self, node_id: str) -> bool:
        node = self.item.graph[node_id]
        node_class = NODE_CLASSES[node["class_type"]]
        self.advance(node_id, "running")
        self.tell("executing", node=node_id, display_node=node_id)
        context = Context(self.item.graph, self.item.extra_data.get("extra_pnginfo") or {}, self.stepper(node_id))
        inputs = {name: self.resolve(node["inputs"][name]) for name in node_class.inputs()["required"]}
        try:
            result = Result(*node_class.run(context, **inputs))
        except InterruptProcessingException:
            logging.info("Processing interrupted")
            self.report("execution_interrupted", **self.whose(node_id))
            return False
        except NODE_FAILURES as error:
            self.fail(node_id, inputs, error)
            return False
        self.cache[self.signatures[node_id]] = result
        self.executed.append(node_id)
        if result.shown:
            self.tell("executed", node=node_id, display_node=node_id, output=result.shown)
        self.advance(node_id, "finished")
        return True

    def resolve(self, value: Any) -> Any:
        """An input's value, through its link where it is one."""
        return self.cache[self.signatures[value[0]]].outputs[value[1]] if is_link(value) else value

    def whose(self, node_id: str) -> dict[str, Any]:
        """The beginning of a message about a node that did not end well."""
        class_type = self.item.graph[node_id]["class_type"]
        return {"node_id": node_id, "node_type": class_type, "executed": list(self.executed)}

    def fail(self, node_id: str, inputs: dict[str, Any], error: Exception) -> None:
        logging.error(f"!!! Exception during processing !!! {error}")
        logging.error(traceback.format_exc())
        kind, module = type(error).__qualname__, type(error).__module__
        plain = (int, float, bool, str)
        self.report(
            "execution_error",
            **self.whose(node_id),
            exception_message=f"{error}\n",
            exception_type=kind if module == "builtins" else f"{module}.{kind}",
            traceback=traceback.format_tb(error.__traceback__),
            current_inputs={
                name: [value if isinstance(value, plain) else str(value)] for name, value in inputs.items()
            },
            current_outputs=[node for node in self.item.graph if self.is_cached(node)],
        )

    def stepper(self, node_id: str) -> Callable[[int, int, Image.Image | None], None]:
        """The function by which a node tells how far it is."""

        def step(value: int, total: int, preview: Image.Image | None) -> None:
            self.advance(node_id, "running", value, total)
            self.tell_all("progress", {"value": value, "max": total, "node": node_id})
            if preview is not None:
                self.send("preview", preview, self.client_id)

        return step

    def advance(self, node_id: str, state: str, value: float = 0.0, total: float = 1.0) -> None:
        """Set how far a node is, and send how far all are."""
        before = self.progress.get(node_id, {"max": total})
        if state == "finished":
            value = total = before["max"]
        self.progress[node_id] = {
            "value": value,
            "max": total,
            "state": state,
            "node_id": node_id,
            "prompt_id": self.item.prompt_id,
            **{name: owner for name, owner in describe(node_id).items() if name != "node_id"},
        }
        self.tell_all("progress_state", {"nodes": {name: dict(entry) for name, entry in self.progress.items()}})

    def tell_all(self, event: str, data: dict[str, Any]) -> None:
        """Send to the prompt's client, to everyone where it has none."""
        self.send(event, {**data, "prompt_id": self.item.prompt_id}, self.client_id)

    def tell(self, event: str, **data: Any) -> None:
        """Send to the prompt's client, to no one where it has none."""
        if self.client_id is not None:
            self.tell_all(event, data)

    def report(self, event: str, **data: Any) -> None:
        """Send, with the time in milliseconds, and keep for the history."""
        stamped = {"prompt_id": self.item.prompt_id, **data, "timestamp": int(time.time() * 1000)}
        self.messages.append((event, stamped))
        self.tell(event, **stamped)


def describe(node_id: str) -> dict[str, str | None]:
    """Who a node is to the page; here no node stands for another."""
    return {"node_id": node_id, "display_node_id": node_id, "parent_node_id": None, "real_node_id": node_id}
