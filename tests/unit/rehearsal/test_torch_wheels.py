"""A rehearsal's torch: its stand-ins fit every machine, and no other index is asked for one."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from provision.core.home import Home
from provision.core.manifest import load_manifest
from provision.core.patience import Patience
from provision.core.runner import run_step
from provision.core.step import Context, Options
from provision.environment import packages, wheel_index
from provision.errors import PackageError
from provision.rehearsal.torch_wheels import StandIn, make_wheels, write_wheels
from provision.steps.python_env.step import PYTHON_ENV
from provision.steps.torch.choice import in_order
from provision.steps.torch.place import here
from provision.steps.torch.step import TORCH
from provision.system.local_machine import LocalMachine
from provision.system.mac import SW_VERS
from tests.support.fake_machine import FakeMachine
from tests.support.hub import Hub
from tests.support.torch_world import HERE

SILICON = "/usr/sbin/sysctl -i hw.optional.arm64"
SYSTEM = "ProductName:\t\tmacOS\nProductVersion:\t\t15.5\nBuildVersion:\t\t24F74\n"


class Broken(BaseHTTPRequestHandler):
    """A package index that is out of order, and keeps what it was asked for."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(500)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """The configured package index, and what it is asked for."""
    asked: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Index", (Broken,), {"asked": asked})) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple", asked
        server.shutdown()


def context(tmp_path: Path, hub: Hub, index: str) -> Context:
    path = os.pathsep.join([str(Path(sys.base_prefix) / "bin"), "/usr/bin", "/bin"])
    machine = LocalMachine({"HOME": str(tmp_path), "PATH": path, "UV_DEFAULT_INDEX": index})
    world = [f"python.version={HERE}", "python.max=3.14", f"torch.nightly_index={hub.url}/whl/nightly",
             f"torch.stable_index={hub.url}/whl/stable"]  # fmt: skip
    home = Home(tmp_path / "home")
    home.prepare()
    patience = Patience().at_most(0)
    return Context(machine, load_manifest("sdxl-turbo", world), home, Options(rehearsal=True), patience=patience)


@pytest.mark.parametrize(
    ("arch", "silicon"),
    [("arm64", "hw.optional.arm64: 1\n"), ("x86_64", "hw.optional.arm64: 1\n"), ("x86_64", "")],
    ids=["apple silicon", "rosetta", "intel"],
)
def test_there_is_a_wheel_for_the_python_of_every_mac(tmp_path: Path, arch: str, silicon: str) -> None:
    commands = {SILICON: silicon, " ".join(SW_VERS): SYSTEM}
    ctx = Context(FakeMachine(commands, arch=arch), load_manifest("sdxl-turbo"), Home(tmp_path / "home"))
    place = here(ctx)
    assert place.target is not None
    assert place.target.arch == ("arm64" if silicon else "x86_64")
    links = "".join(f'<a href="{wheel.name}">' for wheel in write_wheels(tmp_path, StandIn("torch", "2.15.0")))
    assert wheel_index.usable(wheel_index.parse_index_page(links), place.tags)


def test_no_other_index_is_asked_for_torch(tmp_path: Path, elsewhere: tuple[str, list[str]]) -> None:
    index, asked = elsewhere
    make_wheels(tmp_path / "world")
    with Hub(tmp_path / "world") as hub:
        ctx = context(tmp_path, hub, index)
        assert run_step(PYTHON_ENV, ctx, apply=True).error is None
        assert run_step(TORCH, ctx, apply=True).error is None
    assert packages.torch_version(ctx.home.venv).startswith("2.16.0.dev")
    assert [path for path in asked if "torch" in path] == []


def test_where_its_own_index_has_none_that_is_said(tmp_path: Path, elsewhere: tuple[str, list[str]]) -> None:
    index, asked = elsewhere
    make_wheels(tmp_path / "world", {"20261121": "lone"})
    shutil.rmtree(tmp_path / "world/index/stable/torchvision")
    with Hub(tmp_path / "world") as hub:
        ctx = context(tmp_path, hub, index)
        report = run_step(TORCH, ctx, apply=True)
        with pytest.raises(PackageError, match="has no such set for this machine"):
            list(in_order(ctx, here(ctx), audio=False))
    assert report.error is not None
    assert "/whl/stable" in str(report.error)
    assert [path for path in asked if "torch" in path] == []
