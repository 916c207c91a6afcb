"""The embedded world of `--rehearse`: made once in a home, served again on the same ports each time."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from provision.finding import JSON
from provision.home import Home
from provision.machine import LOOPBACK, Machine
from provision.receipts import read_json, write_json
from provision.rehearsal.engine_repo import make_engine_repo
from provision.rehearsal.hub import Hub
from provision.rehearsal.model_repo import make_model_repo
from provision.rehearsal.recorded import world_folder
from provision.rehearsal.weights import SHRINK, write_checkpoint, write_diffusers_files
from provision.rehearsal.wheels import make_wheels

MODEL_REPO = "stabilityai/sdxl-turbo"
ENGINE_REPO = "comfyanonymous/ComfyUI"
ANSWER_S = 1.0
FP16, FP32 = "sd_xl_turbo_1.0_fp16.safetensors", "sd_xl_turbo_1.0.safetensors"


@dataclass(frozen=True, slots=True)
class World:
    """The world while it is served."""

    hub: Hub
    overrides: list[str]

    @property
    def endpoint(self) -> str:
        """What stands for `HF_ENDPOINT`."""
        return self.hub.url

    def sent_json(self) -> dict[str, JSON]:
        """Bytes of model files that the hub sent in this run, in all and by file."""
        return {"hub_sent_bytes": self.hub.sent_bytes(), "hub_sent_by_file": dict(self.hub.sent_by_file())}


@contextmanager
def rehearsal(home: Home, machine: Machine) -> Iterator[World]:
    """The world of a home, made where it is missing, served until the end."""
    folder = world_folder(home)
    record = read_json(folder / "world.json")
    ports = (record or {}).get("ports")
    with _hub(folder / "root", ports if isinstance(ports, dict) else {}) as hub:
        engine_port = int(str((ports or {}).get("engine", 0))) if isinstance(ports, dict) else 0
        engine_port = engine_port or _free_port()
        files = (_files(record) if _is_whole(folder / "root") else None) or _build(folder)
        overrides = _overrides(hub, engine_port, files)
        served = {"hub": hub.url.rpartition(":")[2], "cdn": hub.cdn_url.rpartition(":")[2], "engine": engine_port}
        world = {"ports": served, "files": files, "overrides": overrides}
        if world != record:
            write_json(folder / "world.json", world)
        yield World(hub, overrides)


def is_served(home: Home) -> bool:
    """Whether another command serves this home's world now."""
    ports = (read_json(world_folder(home) / "world.json") or {}).get("ports")
    port = int(str(ports.get("hub", 0))) if isinstance(ports, dict) else 0
    if not port:
        return False
    asked = HTTPConnection(LOOPBACK, port, timeout=ANSWER_S)
    try:
        asked.request("HEAD", "/")
        return asked.getresponse().getheader("Server", "").startswith(Hub.NAME)
    except (OSError, HTTPException):
        return False
    finally:
        asked.close()


def _is_whole(root: Path) -> bool:
    """Whether all that is served is there: it may have been deleted to win space."""
    places = ("index", f"git/{ENGINE_REPO}.git", f"git/{MODEL_REPO}.git", f"models/{MODEL_REPO}/{FP16}")
    return all((root / place).exists() for place in places)


@contextmanager
def _hub(root: Path, ports: dict[str, JSON]) -> Iterator[Hub]:
    root.mkdir(parents=True, exist_ok=True)
    try:
        hub = Hub(root, port=int(str(ports.get("hub", 0))), cdn_port=int(str(ports.get("cdn", 0))))
    except OSError:  # somebody took the ports in the meantime
        hub = Hub(root)
    with hub:
        yield hub


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind((LOOPBACK, 0))
        return int(trial.getsockname()[1])


def _files(record: dict[str, JSON] | None) -> dict[str, JSON] | None:
    files = (record or {}).get("files")
    return files if isinstance(files, dict) else None


def _build(folder: Path) -> dict[str, JSON]:
    """Make weights, repositories and wheels. What a killed run left half made is made anew."""
    root, weights = folder / "root", folder / "weights"
    for left in (root, weights):
        shutil.rmtree(left, ignore_errors=True)
        left.mkdir(parents=True)
    sizes = {
        FP16: write_checkpoint(weights / FP16, dtype="F16", shrink=SHRINK, seed=7),
        FP32: write_checkpoint(weights / FP32, dtype="F32", shrink=SHRINK, seed=7),
    }
    files = {**{name: weights / name for name in sizes}, **write_diffusers_files(weights / "diffusers")}
    model = make_model_repo(root, MODEL_REPO, files)
    make_engine_repo(root / "git" / f"{ENGINE_REPO}.git")
    make_wheels(root)
    shutil.rmtree(weights)
    return {
        "commit": model.commit,
        **{name: {"size": made.size_bytes, "sha256": made.sha256} for name, made in sizes.items()},
    }


def _overrides(hub: Hub, engine_port: int, files: dict[str, JSON]) -> list[str]:
    """The real manifest with other addresses, sizes and hashes; everything else is as it is for real."""
    values: dict[str, JSON] = {
        "comfyui.url": f"{hub.url}/{ENGINE_REPO}",
        "comfyui.port": engine_port,
        "python.version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "python.max": "3.14",
        "torch.nightly_index": f"{hub.url}/whl/nightly",
        "torch.stable_index": f"{hub.url}/whl/stable",
        "machine.memory_gib_min": 1,
        "machine.memory_gib_recommended": 1,
        "models.0.repo": MODEL_REPO,
        "models.0.revision": files["commit"],
    }
    for place, name in enumerate((FP16, FP32)):
        made = files[name]
        assert isinstance(made, dict)
        values |= {f"models.0.files.{place}.{key}": made[key] for key in ("size", "sha256")}
    return [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()]
