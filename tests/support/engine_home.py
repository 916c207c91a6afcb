"""A home with the rehearsal's miniature engine in it, run as a real process with a stand-in for torch."""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import provision.rehearsal
from provision.core.events import Event
from provision.core.home import Home
from provision.core.manifest import load_manifest
from provision.core.step import Context, Options
from provision.system.local_machine import LocalMachine, free_port
from tests.support.engine_faults import add_faults

ENGINE = Path(provision.rehearsal.__file__).parent / "engine"
CHECKPOINT = "sd_xl_turbo_1.0_fp16.safetensors"
TORCH = "2.16.0.dev20261101"
STAND_IN = f"""
class _No:
    @staticmethod
    def is_available():
        return False

class backends:
    mps = _No

cuda = _No
__version__ = "{TORCH}"
"""
TENSORS = (
    "model.diffusion_model.input_blocks.0.0.weight",
    "model.diffusion_model.label_emb.0.0.weight",
    "model.diffusion_model.input_blocks.4.1.transformer_blocks.1.attn2.to_k.weight",
    "model.diffusion_model.out.2.weight",
    "conditioner.embedders.0.weight",
    "conditioner.embedders.1.weight",
    "first_stage_model.weight",
)


@dataclass
class EngineHome:
    """A context, and the events that were emitted in it."""

    ctx: Context
    events: list[Event] = field(default_factory=list)

    def says(self) -> str:
        """All notes and output lines."""
        return "\n".join(str(getattr(event, "says", "") or getattr(event, "line", "")) for event in self.events)


def engine_home(
    root: Path, *, fault: str = "", sets: Sequence[str] = (), deep: bool = False, port: int | None = None
) -> EngineHome:
    """Make the home; the server is not started."""
    home = Home(root.resolve() / "home")
    home.prepare()
    shutil.copytree(ENGINE, home.comfyui, ignore=shutil.ignore_patterns("__pycache__"))
    add_faults(home.comfyui)
    write_python(home)
    write_checkpoint(home.comfyui / "models" / "checkpoints" / CHECKPOINT)
    settings = [f"comfyui.port={port or free_port()}", "first_image.width=256", "first_image.height=192"]
    environ = {**os.environ, "ENGINE_FAULT": fault}
    made = EngineHome(
        Context(LocalMachine(environ), load_manifest("sdxl-turbo", [*settings, *sets]), home, Options(deep=deep))
    )
    made.ctx = with_events(made.ctx, made.events)
    made.ctx.receipts.write("torch", device="cpu")
    made.ctx.receipts.write("comfyui", commit="1" * 40)
    return made


def with_events(ctx: Context, events: list[Event]) -> Context:
    """The same context, whose events are kept."""
    return Context(ctx.machine, ctx.manifest, ctx.home, ctx.options, events.append)


def with_sets(ctx: Context, *sets: str) -> Context:
    """The same home, with other words on the command line."""
    port = f"comfyui.port={ctx.manifest.comfyui.port}"
    manifest = load_manifest("sdxl-turbo", [port, "first_image.width=256", "first_image.height=192", *sets])
    return Context(ctx.machine, manifest, ctx.home, ctx.options, ctx.emit)


def write_python(home: Home) -> None:
    """A target Python: ours, with a stand-in torch, as a venv has it on the disk."""
    site = home.venv / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    (site / "torch.py").write_text(STAND_IN, encoding="utf-8")
    (site / "torchvision.py").write_text("", encoding="utf-8")
    install_torch(home, TORCH)
    home.python.parent.mkdir(parents=True)
    home.python.write_text(f'#!/bin/sh\nPYTHONPATH="{site}" exec "{sys.executable}" "$@"\n', encoding="utf-8")
    home.python.chmod(0o755)


def install_torch(home: Home, version: str) -> None:
    """The stand-in torch of another version, with its metadata."""
    site = home.venv / "lib" / "python3.11" / "site-packages"
    for old in site.glob("torch-*.dist-info"):
        shutil.rmtree(old)
    info = site / f"torch-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: torch\n", encoding="utf-8")
    (site / "torch.py").write_text(STAND_IN.replace(TORCH, version), encoding="utf-8")


def write_checkpoint(path: Path) -> None:
    """A safetensors file with the names that tell an SDXL checkpoint, one number each."""
    entries = {
        name: {"dtype": "F16", "shape": [1], "data_offsets": [place * 2, place * 2 + 2]}
        for place, name in enumerate(TENSORS)
    }
    header = json.dumps(entries).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(2 * len(TENSORS)))
