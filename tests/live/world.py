"""What live tests share: a hub with a full-size checkpoint of random weights, a home, and a tool that knows both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provision.rehearsal.checkpoints import write_checkpoint
from provision.rehearsal.hub import Hub
from provision.rehearsal.model_repo import make_model_repo
from tests.e2e.conftest import Tool

NAME = "sd_xl_turbo_1.0_fp16.safetensors"
PORT = 18288
FREE_BYTES = 40 * 10**9


@dataclass(frozen=True, slots=True)
class World:
    """`words` are those that `all` needs in it; other commands read them from the home."""

    tool: Tool
    hub: Hub
    size_bytes: int
    words: tuple[str, ...]


@contextmanager
def world(folder: Path, upstream: Path) -> Iterator[World]:
    """A hub in a folder, and an empty home whose ComfyUI comes from `upstream`; its server is stopped in the end."""
    made = write_checkpoint(folder / "weights" / NAME, dtype="F16", shrink=None, seed=1)
    root = folder / "root"
    model = make_model_repo(root, "stabilityai/sdxl-turbo", {NAME: folder / "weights" / NAME})
    home = Path(os.environ.get("PROVISION_LIVE_HOME", folder / "home"))
    wishes = [
        f"comfyui.url={upstream}",
        f"comfyui.port={PORT}",
        f"models.0.revision={model.commit}",
        f"models.0.files.0.size={made.size_bytes}",
        f"models.0.files.0.sha256={made.sha256}",
    ]
    with Hub(root) as hub:
        tool = Tool(home, {"HF_ENDPOINT": hub.url})
        words = tuple(word for wish in wishes for word in ("--set", wish))
        try:
            yield World(tool, hub, made.size_bytes, words)
        finally:
            tool.run("stop", *words)
