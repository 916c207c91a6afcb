"""Sets of a stand-in torch in a package index, homes in which they are put in use, and how to be killed at it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from provision.comfyui.switching import switch
from provision.core.events import Event, Note
from provision.core.home import Home
from provision.core.manifest import load_manifest
from provision.core.runner import run_step
from provision.core.step import Context, Options, StepReport
from provision.environment import generations, packages
from provision.rehearsal.torch_wheels import StandIn, make_wheels, write_wheels
from provision.steps.torch.step import TORCH
from provision.system.local_machine import LocalMachine
from provision.system.machine import Machine
from tests.support.hub import Hub

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
KNOWN_GOOD = {"torch": "2.11.0", "torchvision": "0.26.0"}


def index_machine(url: str, person: Path) -> Machine:
    """A machine whose only package index is the hub's: what it lacks cannot be had."""
    path = os.pathsep.join([str(Path(sys.base_prefix) / "bin"), "/usr/bin", "/bin"])
    return LocalMachine({"HOME": str(person), "PATH": path, "UV_DEFAULT_INDEX": f"{url}/whl/none"})


def index_sets(url: str) -> list[str]:
    """The manifest's keys that lead to the hub's index."""
    good = [f"torch.known_good.{name}={version}" for name, version in KNOWN_GOOD.items()]
    return [f"python.version={HERE}", "python.max=3.14", f"torch.nightly_index={url}/whl/nightly",
            f"torch.stable_index={url}/whl/stable", *good]  # fmt: skip


def fill_index(root: Path, days: Mapping[str, str], *, stable_defect: str = "", good_defect: str = "") -> None:
    """Nightlies with their defects, stable, and the last known good."""
    make_wheels(root, days, stable_defect=stable_defect)
    stable, torch = root / "index" / "stable", KNOWN_GOOD["torch"]
    write_wheels(stable / "torch", StandIn("torch", torch, defect=good_defect))
    write_wheels(stable / "torchvision", StandIn("torchvision", KNOWN_GOOD["torchvision"], (f"torch=={torch}",)))
    (root / "index" / "none").mkdir()


class TorchHome:
    """A home, the index that it knows, and what was said in it."""

    def __init__(self, url: str, home: Home) -> None:
        self.url, self.home = url, home
        self.events: list[Event] = []
        self.sets: tuple[str, ...] = ()

    def ctx(self, channel: str = "nightly", **options: bool) -> Context:
        manifest = load_manifest("sdxl-turbo", [*index_sets(self.url), f"torch.channel={channel}", *self.sets])
        machine = index_machine(self.url, self.home.root)
        ctx = Context(machine, manifest, self.home, Options(**options), self.events.append)
        return ctx.looking()

    def run(self, channel: str = "nightly") -> StepReport:
        """The torch step alone."""
        return run_step(TORCH, self.ctx(channel), apply=True)

    def go_back(self) -> None:
        """As `rollback` does."""
        to = generations.before(self.home)
        assert to is not None
        switch(self.home, to, self.ctx().machine.timestamp())

    @property
    def torch(self) -> str:
        """The torch in use, as its files on the disk say."""
        return packages.installed_versions(self.home.venv).get("torch", "")

    def imported(self) -> str:
        """The torch in use, as the target Python says."""
        ran = LocalMachine().run([self.home.python, "-I", "-c", "import torch, torchvision; print(torch.__version__)"])
        return ran.out.strip() or ran.tail()

    @property
    def notes(self) -> list[str]:
        return [event.says for event in self.events if isinstance(event, Note)]

    @property
    def envs(self) -> list[str]:
        return sorted(path.name for path in self.home.envs.iterdir())


def serve(root: Path, days: Mapping[str, str], **defects: str) -> Hub:
    """A hub with that index, to be entered."""
    fill_index(root, days, **defects)
    return Hub(root)
