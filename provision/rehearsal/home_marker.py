"""What a rehearsal's home remembers of its world; small, so that every command may look."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from provision.core.finding import JSON
from provision.core.home import Home
from provision.core.manifest import COMMIT, SHA256
from provision.core.overrides import as_overrides
from provision.core.receipts import read_state, write_json
from provision.core.strict_loader import text
from provision.system.machine import LOOPBACK

MODEL_REPO = "stabilityai/sdxl-turbo"
ENGINE_REPO = "Comfy-Org/ComfyUI"
FP16, FP32 = "sd_xl_turbo_1.0_fp16.safetensors", "sd_xl_turbo_1.0.safetensors"
Port = Annotated[int, Meta(gt=0, lt=2**16)]


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A checkpoint of the world: its size in bytes and its sha256 in hexadecimal."""

    size: Annotated[int, Meta(gt=0)]
    sha256: Annotated[str, text(SHA256.pattern, "64 hexadecimal digits")]


@dataclass(frozen=True, slots=True)
class Files:
    """The world's model repository: its commit, and its checkpoints by name."""

    commit: Annotated[str, text(COMMIT.pattern, "40 hexadecimal digits")]
    checkpoints: Mapping[str, MadeFile]

    def __post_init__(self) -> None:
        if not {FP16, FP32} <= self.checkpoints.keys():
            raise ValueError("a checkpoint is missing")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the world is served."""

    hub: Port
    cdn: Port
    engine: Port


@dataclass(frozen=True, slots=True)
class WorldRecord:
    """The world of a home: its ports, and what was made."""

    ports: Ports
    made: Files

    def overrides(self) -> list[str]:
        """Addresses, sizes and hashes for the real manifest, from checked numbers: no file decides what is run."""
        hub = f"http://{LOOPBACK}:{self.ports.hub}"
        values: dict[str, JSON] = {
            "comfyui.url": f"{hub}/{ENGINE_REPO}",
            "comfyui.port": self.ports.engine,
            "python.version": f"{sys.version_info.major}.{sys.version_info.minor}",
            "python.max": "3.14",
            "torch.nightly_index": f"{hub}/whl/nightly",
            "torch.stable_index": f"{hub}/whl/stable",
            "machine.memory_gib_min": 1,
            "machine.memory_gib_recommended": 1,
            "models.0.repo": MODEL_REPO,
            "models.0.revision": self.made.commit,
        }
        for place, name in enumerate((FP16, FP32)):
            made = self.made.checkpoints[name]
            values |= {f"models.0.files.{place}.size": made.size, f"models.0.files.{place}.sha256": made.sha256}
        return as_overrides(values)


def world_folder(home: Home) -> Path:
    """The folder of a home's embedded world."""
    return home.state / "rehearsal"


def read_world(home: Home) -> WorldRecord | None:
    """The record of a home's world; None where it is missing or unreadable, and made again."""
    return read_state(world_folder(home) / "world.json", WorldRecord)


def write_world(home: Home, record: WorldRecord) -> None:
    """Keep the record. Raises HomeError, DiskFull."""
    write_json(world_folder(home) / "world.json", asdict(record))


def is_rehearsal(home: Home) -> bool:
    """Whether a rehearsal made this home, or has begun to; nothing real belongs there."""
    return world_folder(home).is_dir()


def recorded_overrides(home: Home) -> list[str]:
    """The manifest overrides of the rehearsal that made this home; none for a real home."""
    record = read_world(home)
    return record.overrides() if record is not None else []


def is_miniature(code: Path) -> bool:
    """Whether a checkout is the rehearsal's own engine."""
    return (code / "picture.py").is_file() and not (code / "comfy").is_dir()
