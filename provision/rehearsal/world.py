"""The embedded world of `--rehearse`: made once in a home, served again on the same ports each time."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from provision.core.home import Home
from provision.core.receipts import home_lock
from provision.rehearsal.checkpoints import SHRINK, write_checkpoint, write_diffusers_files
from provision.rehearsal.engine_repo import make_engine_repo
from provision.rehearsal.git_repo import ARCHIVES
from provision.rehearsal.home_marker import (
    ENGINE_REPO,
    FP16,
    FP32,
    MODEL_REPO,
    Files,
    MadeFile,
    Ports,
    WorldRecord,
    read_world,
    world_folder,
    write_world,
)
from provision.rehearsal.hub import Hub
from provision.rehearsal.model_repo import make_model_repo, read_model_repo
from provision.rehearsal.sent import Sent
from provision.rehearsal.torch_wheels import make_wheels
from provision.system.disk_errors import unusable
from provision.system.local_machine import free_port
from provision.system.machine import Machine

MAKING = "new-"
"""How the folders begin in which a world is made."""


@dataclass(frozen=True, slots=True)
class World:
    """The world while it is served."""

    hub: Hub
    overrides: list[str]

    @property
    def endpoint(self) -> str:
        return self.hub.url

    def sent(self) -> Sent:
        """What the hub sent in this run."""
        return Sent(self.hub.sent_bytes(), self.hub.sent_by_file())


@contextmanager
def rehearsal(home: Home, machine: Machine, command: str = "all") -> Iterator[World]:
    """The world of a home, made where it is missing, served until the end; by one command at a time.

    Raises HomeLocked while another command serves it, HomeError, DiskFull.
    """
    folder = world_folder(home)
    with home_lock(folder / "lock", command=command):
        record = read_world(home)
        files = record.made if record is not None and _is_whole(folder / "root") else None
        if files is None:
            with home_lock(home.state / "lock", command=command):  # nobody removes the home, or changes it, meanwhile
                files = _made(folder)
        with _hub(folder / "root", record) as hub:
            engine_port = record.ports.engine if record is not None else free_port()
            made = WorldRecord(Ports(hub.port, hub.cdn_port, engine_port), files)
            if made != record:
                write_world(home, made)
            yield World(hub, made.overrides())


def _is_whole(root: Path) -> bool:
    """Whether all that is served is there: some of it may have been deleted to win space."""
    places = ("index", f"git/{ENGINE_REPO}.git/{ARCHIVES}", f"git/{MODEL_REPO}.git", f"models/{MODEL_REPO}/{FP16}")
    return read_model_repo(root, MODEL_REPO) is not None and all((root / place).exists() for place in places)


def _hub(root: Path, record: WorldRecord | None) -> Hub:
    if record is not None:
        with suppress(OSError):  # somebody took the ports in the meantime
            return Hub(root, port=record.ports.hub, cdn_port=record.ports.cdn)
    return Hub(root)


def _made(folder: Path) -> Files:
    """The world's files, made aside and put in place whole: a run that ends before leaves nothing that is served."""
    try:
        for left in folder.glob(f"{MAKING}*"):
            shutil.rmtree(left, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix=MAKING, dir=folder))
        try:
            files = _build(aside)
            shutil.rmtree(folder / "root", ignore_errors=True)
            (aside / "root").rename(folder / "root")
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise unusable(folder, error) from error
    return files


def _build(folder: Path) -> Files:
    """Make weights, repositories and wheels in `root`. Raises OSError."""
    root, weights = folder / "root", folder / "weights"
    write_checkpoint(weights / FP16, dtype="F16", shrink=SHRINK, seed=7)
    write_checkpoint(weights / FP32, dtype="F32", shrink=SHRINK, seed=7)
    files = {name: weights / name for name in (FP16, FP32)} | write_diffusers_files(weights / "diffusers")
    model = make_model_repo(root, MODEL_REPO, files)
    make_engine_repo(root / "git" / f"{ENGINE_REPO}.git")
    make_wheels(root)
    return Files(model.commit, {name: MadeFile(*model.files[name]) for name in (FP16, FP32)})
