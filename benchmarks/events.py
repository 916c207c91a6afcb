"""How much a flood of WebSocket messages slows an image: its seconds with 100,000 messages a step, and without.

    python benchmarks/events.py [ROUNDS]        # 5

The server is a process of its own that takes half a second a step by the clock, whatever it sends. Flooded and calm
images take turns; the ratio of the medians is what is to be read. `of others` are messages of a custom node, `of ours`
are progress of this very image, which have to be read one by one.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe

from provision.comfyui.api import Comfy
from tests.storms.evil import Connection, frame, told
from tests.storms.hostile_comfyui import Hostile

STEPS, STEP_S, MESSAGES, BLOCK = 4, 0.5, 100_000, 500
OTHERS = frame(b'{"type": "my.node", "data": {"value": 1, "text": "a message of a custom node, of usual length"}}')
FLOODS: dict[str, Callable[[bytes], bytes]] = {
    "calm": lambda ours: b"",
    "of others": lambda ours: OTHERS * BLOCK,
    "of ours": lambda ours: frame(told("progress", value=1, max=4).replace(b"ID", ours)) * BLOCK,
}


class Flooding(Hostile):
    """A ComfyUI whose image takes its steps' time, and that sends so many messages in each."""

    def chatter(self, connection: Connection) -> None:
        """All messages of all steps; they are not waited for by the image."""
        block = FLOODS[self.kind](self.prompt_id.encode())
        began = time.monotonic()
        for step in range(STEPS):
            time.sleep(max(0.0, began + step * STEP_S - time.monotonic()))
            for _ in range(MESSAGES // BLOCK if block else 0):
                connection.sendall(block)


def serve(kind: str, pipe: Pipe) -> None:
    """One server, for one image."""
    server = Flooding(0, f"ws {kind}", STEPS * STEP_S)
    threading.Thread(target=server.serve, daemon=True).start()
    pipe.send(server.port)
    pipe.recv()


def image_s(kind: str) -> tuple[float, int]:
    """The seconds of one image, and how often its progress was told."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(kind, theirs))
    process.start()
    heard: list[str] = []
    try:
        comfy = Comfy(ours.recv(), check=lambda: None)
        made = comfy.generate({"7": {"class_type": "SaveImage"}}, on_progress=lambda stage, *_: heard.append(stage))
    finally:
        ours.send("over")
        process.join()
    return made.seconds, len(heard)


def main() -> None:
    """Take turns, and print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds: dict[str, list[float]] = {kind: [] for kind in FLOODS}
    heard: dict[str, int] = {}
    for _ in range(rounds):
        for kind in FLOODS:
            took, heard[kind] = image_s(kind)
            seconds[kind].append(took)
    calm = statistics.median(seconds["calm"])
    print(f"{STEPS} steps of {STEP_S} s, {MESSAGES:,} messages a step, {rounds} rounds\n")
    print("| messages | median | least | most | of calm | told |")
    print("|---|---|---|---|---|---|")
    for kind, took in seconds.items():
        median = statistics.median(took)
        spread = f"{min(took):.2f} s | {max(took):.2f} s"
        print(f"| {kind} | {median:.2f} s | {spread} | {median / calm:.2f} | {heard[kind]} |")


if __name__ == "__main__":
    main()
